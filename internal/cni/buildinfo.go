// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"regexp"
	"runtime/debug"

	"github.com/blang/semver/v4"
)

// kind is the kind of a file.
type kind int

const (
	broken  kind = iota // empty, truncated, of another kind of machine
	program             // the kernel can run it
)

// build holds the facts that a program states about itself without being run.
type build struct {
	kind    kind
	version string // "v1.9.1", empty where it is not known
	semver  semver.Version
}

// inspect reads the headers of a program.
func inspect(content []byte) build {
	if bytes.HasPrefix(content, []byte("#!")) {
		return build{kind: program} // a wrapper that an administrator wrote
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil || f.Machine != machine() || !whole(f, len(content)) {
		return build{}
	}
	b := build{kind: program}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return b // not made by Go
	}
	for _, version := range versions(info) {
		if v, err := semver.ParseTolerant(version); err == nil && !v.EQ(semver.Version{}) {
			b.version, b.semver = "v"+v.String(), v
			break
		}
	}
	return b
}

// versions returns the possible versions, best first: that of the module, of
// "go install module@version" and, with Go 1.24 and newer, of a build in a clean
// checkout of a tag; or the one that the plugins' own build script hands to the
// linker.
func versions(info *debug.BuildInfo) []string {
	out := []string{info.Main.Version}
	stamp := regexp.MustCompile(`buildversion\.BuildVersion=(v?[0-9][^\s"']*)`)
	for _, s := range info.Settings {
		if m := stamp.FindStringSubmatch(s.Value); s.Key == "-ldflags" && m != nil {
			out = append([]string{m[1]}, out...)
		}
	}
	return out
}

// whole reports whether a file has all bytes that its headers promise. An interrupted
// copy lacks some.
func whole(f *elf.File, size int) bool {
	for _, p := range f.Progs {
		if p.Off+p.Filesz > uint64(size) {
			return false
		}
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS && s.Offset+s.FileSize > uint64(size) {
			return false
		}
	}
	return true
}
