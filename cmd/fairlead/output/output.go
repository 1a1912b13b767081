// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package output prints what commands found, as a table, JSON or YAML, once or each time
// that it changes. Names that a tenant can choose never reach the terminal as control
// characters.
package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// Formats returns the values of --output.
func Formats() []string { return []string{"table", "wide", "json", "yaml"} }

// Flags are the flags of a command that prints.
type Flags struct {
	Format   string
	Watch    bool
	Interval time.Duration
}

// Register adds the flags.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.Format, "output", "o", "table", strings.Join(Formats(), ", "))
	fs.BoolVarP(&f.Watch, "watch", "w", false, "print again when something changed, until the command is ended")
	fs.DurationVar(&f.Interval, "interval", 2*time.Second, "time between two readings with --watch; at least 100ms")
}

// Validate checks the values.
func (f *Flags) Validate() error {
	if !slices.Contains(Formats(), f.Format) {
		return fmt.Errorf("--output: %q is not %s", f.Format, strings.Join(Formats(), ", "))
	}
	if f.Watch && f.Interval < 100*time.Millisecond {
		return fmt.Errorf("--interval: %s is less than 100ms", f.Interval)
	}
	return nil
}

// Result is what a command found, in both forms.
type Result struct {
	// Text is for people. Table prints rows; a command with sentences has its own.
	Text interface {
		// Print writes the text, with more columns or lines if wide is set. Its strings
		// are made of Clean text.
		Print(out io.Writer, wide bool) error
	}
	Value any // for programs
}

// Run reads and prints once, or with --watch until ctx is done. A failed reading ends it
// without --watch; with --watch it is printed to problems and repeated.
func (f *Flags) Run(ctx context.Context, out, problems io.Writer, read func(context.Context) (*Result, error)) error {
	if !f.Watch {
		r, err := read(ctx)
		if err != nil {
			return err
		}
		return f.print(out, r)
	}
	tick := time.NewTicker(f.Interval)
	defer tick.Stop()
	var last []byte
	said := ""
	for {
		r, err := read(ctx)
		var now bytes.Buffer
		if err == nil {
			err = f.print(&now, r)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if text := Clean(err.Error()); text != said {
				fmt.Fprintln(problems, "fairlead:", text)
				said = text
			}
		case !bytes.Equal(now.Bytes(), last):
			if err := f.separate(out, last != nil); err != nil {
				return err
			}
			if _, err := out.Write(now.Bytes()); err != nil {
				return err
			}
			last, said = now.Bytes(), ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// separate writes what stands between two prints of --watch.
func (f *Flags) separate(out io.Writer, again bool) (err error) {
	switch {
	case f.Format == "yaml" && again:
		_, err = fmt.Fprintln(out, "---")
	case f.Format == "table" || f.Format == "wide":
		if again {
			_, err = fmt.Fprintln(out)
		}
		if err == nil {
			_, err = fmt.Fprintln(out, "# "+time.Now().UTC().Format(time.RFC3339))
		}
	}
	return err
}

func (f *Flags) print(out io.Writer, r *Result) error {
	switch f.Format {
	case "json":
		return writeJSON(out, r.Value)
	case "yaml":
		return writeYAML(out, r.Value)
	}
	return r.Text.Print(out, f.Format == "wide")
}

func writeJSON(out io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(out, escapeJSON(b.String()))
	return err
}

func writeYAML(out io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var plain any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&plain); err != nil {
		return err
	}
	b, err = json.Marshal(cleanValue(plain))
	if err != nil {
		return err
	}
	b, err = yaml.JSONToYAML(b)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}
