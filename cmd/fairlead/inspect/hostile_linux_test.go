// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"fairlead/cmd/fairlead/inspect"
)

const nodeFile = `{"version": 1, "about": {"host": "node-1"}}`

// entry is an entry of an archive, a file unless the header says otherwise.
type entry struct {
	tar.Header
	text string
}

func archive(t testing.TB, compress bool, entries ...entry) []byte {
	t.Helper()
	var b, z bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !compress {
		return b.Bytes()
	}
	zw := gzip.NewWriter(&z)
	_, _ = zw.Write(b.Bytes())
	_ = zw.Close()
	return z.Bytes()
}

func named(name, text string) entry { return entry{tar.Header{Name: name}, text} }

func other(name string, kind byte, link string) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Linkname: link}, ""}
}

// TestHostileArchive: each kind of archive that fairlead does not write is an error that
// names the file in it, and takes little memory.
func TestHostileArchive(t *testing.T) {
	node := named("n/node.json", nodeFile)
	good := archive(t, true, node, named("n/table.json", strings.Repeat(`"abc" `, 1000)))
	zeros := strings.Repeat("\x00", 100<<20)
	for name, tt := range map[string]struct {
		text []byte
		want string
	}{
		"good":            {good, ""},
		"with a folder":   {archive(t, true, other("./n/", tar.TypeDir, ""), named("./n/node.json", nodeFile)), ""},
		"cut":             {good[:len(good)-30], "the archive is damaged or cut"},
		"cut header":      {good[:5], "uncompress: "},
		"changed":         {append(append([]byte{}, good[:40]...), bytes.Repeat([]byte{7}, 200)...), "the archive is damaged or cut after"},
		"cut tar":         {archive(t, false, node)[:700], ""}, // the file is whole, what follows is missing
		"cut file":        {archive(t, false, named("n/node.json", strings.Repeat("x", 2000)))[:1500], `"n/node.json": the archive is damaged or cut: unexpected EOF`},
		"no archive":      {[]byte("hello"), "the archive is damaged or cut after 0 files"},
		"empty":           {nil, "it has no node.json, so it is no bundle of fairlead"},
		"bomb":            {archive(t, true, node, named("n/table.json", zeros)), `"n/table.json": the archive grows more than 200 times as it is unpacked`},
		"many bombs":      {archive(t, true, node, named("a", zeros[:60<<20]), named("b", zeros[:60<<20])), `"b": the archive grows more than 200 times`},
		"parent":          {archive(t, true, named("../node.json", nodeFile)), `"../node.json": the name is not one of a file in the archive`},
		"hidden parent":   {archive(t, true, named("n/../../node.json", nodeFile)), `"n/../../node.json": the name is not`},
		"absolute":        {archive(t, true, named("/etc/node.json", nodeFile)), `"/etc/node.json": the name is not`},
		"terminal":        {archive(t, true, named("/\x1b[2J", "")), `"/\x1b[2J": the name is not`},
		"long name":       {archive(t, true, node, named(strings.Repeat("x", 2000), "")), "the name is not"},
		"symbolic link":   {archive(t, true, node, other("n/table.json", tar.TypeSymlink, "/etc/shadow")), `"n/table.json": it is a link, device or another thing of type '2'`},
		"hard link":       {archive(t, true, node, other("n/table.json", tar.TypeLink, "n/node.json")), `"n/table.json": it is a link`},
		"device":          {archive(t, true, node, other("n/table.json", tar.TypeChar, "")), `"n/table.json": it is a link, device`},
		"pipe":            {archive(t, true, node, other("n/table.json", tar.TypeFifo, "")), `"n/table.json": it is a link, device`},
		"two of one name": {archive(t, true, node, named("n/./node.json", nodeFile)), `"n/./node.json": the archive has two files of this name`},
		"two nodes":       {archive(t, true, node, named("m/node.json", nodeFile)), `it has several nodes, in "m" and "n"`},
		"no node":         {archive(t, true, named("n/table.json", "{}")), "it has no node.json"},
		"no version":      {archive(t, true, named("n/node.json", "{}")), "node.json: version 0 is not 1"},
		"newer":           {archive(t, true, named("n/node.json", `{"version": 2, "about": {"version": "v9"}}`)), "read node.json: version 2 is not 1; use the fairlead that wrote it (v9)"},
		"another type":    {archive(t, true, named("n/node.json", `{"version": "1"}`)), "read node.json: field version has to be a whole number in the range of the field, and is text"},
		"deep":            {archive(t, true, named("n/node.json", strings.Repeat(`{"about":`, 50_000))), "read node.json: no JSON at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.tar.gz")
			check(t, os.WriteFile(file, tt.text, 0o600))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := inspect.OpenBundle(file)
			runtime.ReadMemStats(&after)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "--bundle: ") || len(err.Error()) > 500):
				t.Errorf("%v, want %s", err, tt.want)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 600 { // 512 under the race detector
				t.Errorf("it took %d MiB", took)
			}
		})
	}
}

// TestHostileDirectory: files of a directory are not read through links, and a pipe does
// not block.
func TestHostileDirectory(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "node.json"), []byte(nodeFile), 0o600))
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte(`{"entries": 5}`), 0o600))
	check(t, os.Symlink(secret, filepath.Join(dir, "conntrack.json")))
	check(t, os.Symlink("/dev/zero", filepath.Join(dir, "network.json")))
	check(t, os.Mkdir(filepath.Join(dir, "table.json"), 0o700))
	n, err := inspect.OpenBundle(dir)
	check(t, err)
	_, table := n.Table(t.Context())
	_, network := n.Network(t.Context())
	_, conntrack := n.Conntrack(t.Context())
	for name, err := range map[string]error{"table.json": table, "network.json": network, "conntrack.json": conntrack} {
		if want := "read " + name + ": it is not a regular file"; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	two := t.TempDir()
	for _, d := range []string{"a", "b"} {
		check(t, os.Mkdir(filepath.Join(two, d), 0o700))
		check(t, os.WriteFile(filepath.Join(two, d, "node.json"), []byte(nodeFile), 0o600))
	}
	if _, err := inspect.OpenBundle(two); err == nil || !strings.Contains(err.Error(), "several nodes") {
		t.Errorf("two nodes in a directory: %v", err)
	}
}

// TestHostileTable: tables that lie about themselves are errors that name the place.
func TestHostileTable(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "node.json"), []byte(nodeFile), 0o600))
	n, err := inspect.OpenBundle(dir)
	check(t, err)
	for text, want := range map[string]string{
		`{"version": 2}`: "version 2 is not 1; use the fairlead that wrote it",
		`{"version": 1, "sets": {"other": true}}`:                                                      `set "other" is not known`,
		`{"version": 1, "elements": [{"set": "vips4", "key": "x"}]}`:                                   `element of vips4: "x" is not an address and a port`,
		`{"version": 1, "elements": [{"set": "vips4", "key": "[fd00::1]:80", "proto": 6}]}`:            "element of vips4: fd00::1 is no IPv4 address",
		`{"version": 1, "elements": [{"set": "backends4", "key": "10.0.0.1:80", "slot": 4294967295}]}`: "element of backends4: slot 4294967295",
		`{"version": 1, "chains": [{"name": "services", "rules": ["AAAA"]}]}`:                          `chain "services": rule 1 is damaged`,
		`{"version": 1, "chains": [{"name": "services", "rules": ["/wABAA=="]}]}`:                      `chain "services": rule 1 is damaged`,
		`{"version": 1, "chains": [{"name": "services", "rules": ["x"]}]}`:                             "illegal base64",
		`{"version": 1, "chains": [{"name": "services"}, {"name": "services"}]}`:                       `chain "services" is there twice`,
		`{"version": 1, "chains": {"name": 5}}`:                                                        "field chains has to be a list, and is a mapping",
		`{"version": 1, "ranges": {"outside4": ["10.0.0.0/33"]}}`:                                      `"10.0.0.0/33" is wrong`,
	} {
		check(t, os.WriteFile(filepath.Join(dir, "table.json"), []byte(text), 0o600))
		_, err := n.Table(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "read table.json: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "netip") || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzArchive unpacks archives that somebody made: no panic, no file outside of it.
func FuzzArchive(f *testing.F) {
	for _, compress := range []bool{true, false} {
		good := archive(f, compress, named("n/node.json", nodeFile), named("n/table.json", `{"version": 1}`))
		f.Add(good)
		f.Add(good[:len(good)/2])
		f.Add(archive(f, compress, named("../node.json", nodeFile), other("n", tar.TypeSymlink, "/")))
	}
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := inspect.Unpack(bytes.NewReader(text))
		size := 0
		for name, file := range files {
			size += len(file)
			if strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") {
				t.Errorf("the file %q is outside of the archive", name)
			}
		}
		if size > 64<<20+200*len(text)+1<<20 {
			t.Errorf("%d bytes become %d", len(text), size)
		}
		if err != nil && strings.ContainsAny(fmt.Sprint(err), "\x1b\x00") {
			t.Errorf("the error acts on a terminal: %q", err)
		}
	})
}
