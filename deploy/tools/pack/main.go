// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command pack writes deploy/chart as an archive that `helm install` takes, with the
// version of the image that was built beside it. The same chart gives the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fairlead/deploy/tools/internal/chart"
)

func main() {
	dir := flag.String("chart", "../chart", "directory of the chart")
	out := flag.String("out", "../../bin", "directory to write to")
	version := flag.String("version", "", "version of chart and image, such as v0.1.0")
	flag.Parse()
	file, err := run(*dir, *out, *version)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
	fmt.Println(file)
}

// run returns the name of the file that it wrote.
func run(dir, out, version string) (string, error) {
	c, err := chart.Load(dir)
	if err != nil {
		return "", err
	}
	if err := c.SetVersion(version); err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(out, "fairlead-"+strings.TrimPrefix(version, "v")+".tgz")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	if err := errors.Join(c.Pack(f, time.Unix(0, 0)), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(name))
	}
	return name, nil
}
