// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DefaultDir is the default directory of the socket.
const DefaultDir = "/run/fairlead"

// pattern matches the sockets of all network namespaces.
const pattern = "agent-*.sock"

// Socket returns the path of the socket in dir for the network namespace of the process.
func Socket(dir string) (string, error) {
	const file = "/proc/thread-self/ns/net"
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("find the network namespace: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("find the network namespace: %s has no inode", file)
	}
	return filepath.Join(dir, strings.Replace(pattern, "*", strconv.FormatUint(stat.Ino, 10), 1)), nil
}
