// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/bench/parts"
	"fairlead/bench/report"
	"fairlead/bench/rig"
	"fairlead/bench/stat"
)

// seats are one for each of the subjects, and one without rules.
const seats = 4

func measure(ctx context.Context, o options) (err error) {
	list, err := plan(o)
	if err != nil {
		return err
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if err := rig.Need(o.bin, "controlplane", "fairlead", "flanneld"); err != nil {
		return err
	}
	if o.budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.budget)
		defer cancel()
	}
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start := time.Now()
	progress := func(format string, args ...any) {
		fmt.Printf("[%6s] %s\n", time.Since(start).Round(time.Second), fmt.Sprintf(format, args...))
	}
	m := machine(o)
	progress("starting etcd and kube-apiserver; load average %s", m.Load)
	r, err := rig.New(ctx, rig.Config{Bin: o.bin, Dir: dir, Seats: seats})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	run := &parts.Run{Rig: r, Set: &stat.Set{}, Progress: progress}
	run.Save = func() error {
		m.Took = time.Since(start).Round(time.Second).String()
		return save(o.out, m, run)
	}
	err = run.All(ctx, list)
	if errors.Is(err, context.DeadlineExceeded) { // what was measured until then counts
		run.Notes = append(run.Notes, fmt.Sprintf("The run reached its deadline of %s.", o.budget))
		err = nil
	}
	err = errors.Join(err, run.Save())
	progress("the report is %s", filepath.Join(o.out, "report.md"))
	return err
}

// save writes everything that is known so far.
func save(dir string, m report.Machine, run *parts.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var md, csv, short strings.Builder
	sections := append([]string{report.Capacity(run.Set, parts.Capacity())}, run.Sections...)
	rows, peers := parts.Summary()
	if err := errors.Join(
		report.Markdown(&md, m, run.Set, run.Notes, sections), report.CSV(&csv, run.Set), report.Summary(&short, m, run.Set, rows, peers),
	); err != nil {
		return err
	}
	errs := []error{
		os.WriteFile(filepath.Join(dir, "report.md"), []byte(md.String()), 0o644),
		os.WriteFile(filepath.Join(dir, summaryFile), []byte(short.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "samples.csv"), []byte(csv.String()), 0o644),
	}
	for _, f := range parts.Figures() {
		errs = append(errs, f.Draw(dir, run.Set))
	}
	for _, c := range parts.Charts() {
		errs = append(errs, c.Draw(dir, run.Set))
	}
	return errors.Join(errs...)
}

func machine(o options) report.Machine {
	m := report.Machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), CPUs: runtime.NumCPU(), CPU: "unknown", Load: "unknown",
		Command: "make bench", Version: "fairlead",
	}
	if o.size == "full" {
		m.Command = "make bench-full"
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(b), "model name\t: ")
		if line, _, ok := strings.Cut(rest, "\n"); ok {
			m.CPU = line
		}
	}
	if out, err := exec.Command(filepath.Join(o.bin, "fairlead"), "--version").Output(); err == nil {
		m.Version = strings.TrimSpace(string(out))
	}
	return m
}
