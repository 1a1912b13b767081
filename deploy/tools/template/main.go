// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Command template prints deploy/chart with the values of a file, as helm template does.
package main

import (
	"flag"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"fairlead/deploy/tools/internal/chart"
)

func main() {
	dir := flag.String("chart", "../chart", "directory of the chart")
	values := flag.String("values", "", "file of values")
	tests := flag.Bool("tests", false, "print what helm test makes, instead of what helm install does")
	version := flag.String("version", "", "version of the agent and of its image")
	flag.Parse()
	if err := run(*dir, *values, *version, *tests); err != nil {
		fmt.Fprintln(os.Stderr, "template:", err)
		os.Exit(1)
	}
}

func run(dir, file, version string, tests bool) error {
	c, err := chart.Load(dir)
	if err == nil {
		err = c.SetVersion(version)
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	render := c.Render
	if tests {
		render = c.Tests
	}
	out, err := render(values, chart.Release{})
	if err == nil {
		_, err = os.Stdout.Write(out)
	}
	return err
}
