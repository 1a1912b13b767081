// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errors of Listen.
var (
	errLive   = errors.New("another process answers there")
	errOther  = errors.New("is no socket: remove it")
	errUnsafe = errors.New("belongs to another user, or others may write to it: only the user of the agent may")
)

// Listen makes the socket at path, and its directory, and listens on it. It replaces the
// socket of a process that has ended, but neither that of a living one nor another file.
// Closing the listener removes the file.
//
// The socket gets its name when it is ready to accept. So a connection that is refused
// means that its process has ended, and a command never meets a socket that is half done.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := checkFree(ctx, path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	sweep(ctx, filepath.Dir(path))
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove socket: %w", err)
	}
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// bind(2) gives the file the mode of the socket, so it is never open to others.
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := cfg.Listen(ctx, "unix", temp)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	if err := os.Rename(temp, path); err != nil {
		_ = l.Close()
		_ = os.Remove(temp)
		return nil, fmt.Errorf("name socket: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("find socket: %w", err)
	}
	return &listener{l, path, info}, nil
}

// makeDir makes the directory of the socket, and refuses one in which another user could
// replace the socket.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory of the socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("find directory of the socket: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s: %w", dir, errUnsafe)
	}
	return nil
}

// checkFree returns an error if there is something at path that must stay.
func checkFree(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err //nolint:wrapcheck // the caller does
	case info.Mode().Type() != fs.ModeSocket:
		return errOther
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return errLive
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EAGAIN): // its queue is full
		return errLive
	}
	return err //nolint:wrapcheck // the caller does
}

// maxSwept bounds the files that sweep looks at.
const maxSwept = 1 << 10

// sweep removes the sockets of agents in other network namespaces that were killed.
func sweep(ctx context.Context, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, path := range files[:min(len(files), maxSwept)] {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket && checkFree(ctx, path) == nil {
			_ = os.Remove(path)
		}
	}
}

// listener removes its file when it closes, unless another process has replaced it.
type listener struct {
	net.Listener
	path string
	file fs.FileInfo
}

// Close stops listening and removes the file.
func (l *listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
		_ = os.Remove(l.path)
	}
	return l.Listener.Close() //nolint:wrapcheck // net/http compares it
}
