// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place returns a path for a socket in a directory that does not exist yet.
func place(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "fairlead", "agent-1.sock")
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestListenMode makes socket and directory for the own user only.
func TestListenMode(t *testing.T) {
	path := place(t)
	l := listen(t, path)
	for name, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, mode %v, want %v", name, err, info.Mode(), want)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) > 0 {
		t.Errorf("Close leaves %v", left)
	}
}

// killed leaves the socket of a process that was killed.
func killed(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

// TestListenReplacesStale replaces the socket of a killed agent, and removes those of
// killed agents in other network namespaces.
func TestListenReplacesStale(t *testing.T) {
	path := place(t)
	_ = listen(t, path).Close() // makes the directory
	other, alive := filepath.Join(filepath.Dir(path), "agent-2.sock"), filepath.Join(filepath.Dir(path), "agent-3.sock")
	foreign := filepath.Join(filepath.Dir(path), "other.sock")
	killed(t, path)
	killed(t, other)
	killed(t, foreign)
	listen(t, alive)
	killed(t, other)
	listen(t, path)
	conn, err := dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket of a killed agent stays: %v", err)
	}
	for _, stays := range []string{alive, foreign} {
		if _, err := os.Lstat(stays); err != nil {
			t.Error(err)
		}
	}
}

// TestListenKeepsOthers replaces neither a socket that answers, nor one whose queue is
// full, nor another file, and leaves nothing behind.
func TestListenKeepsOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"live": {func(t *testing.T, path string) { t.Helper(); listen(t, path) }, "another process answers there"},
		"full": {func(t *testing.T, path string) {
			t.Helper()
			listen(t, path)
			for range 5000 { // more than somaxconn
				c, err := net.Dial("unix", path)
				if err != nil {
					return
				}
				t.Cleanup(func() { _ = c.Close() })
			}
		}, "another process answers there"},
		"file": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is no socket: remove it"},
		"symlink": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink("/etc/passwd", path); err != nil {
				t.Fatal(err)
			}
		}, "is no socket: remove it"},
		"directory": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is no socket: remove it"},
	} {
		t.Run(name, func(t *testing.T) {
			path := place(t)
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(t.Context(), path)
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the file was replaced: %v", err)
			}
			if files, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(files) != 1 {
				t.Errorf("%v is left", files)
			}
		})
	}
}

// TestListenRefusesDirectory: in a directory where others may write they could replace
// the socket, and a read-only or full file system has no room for it.
func TestListenRefusesDirectory(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		open:                      "others may write to it",
		link:                      "belongs to another user, or others may write to it",
		"/proc/fairlead":          "make directory of the socket",
		"/proc/self":              "directory /proc/self",
		"/dev/null":               "directory /dev/null",
		t.TempDir() + "/none/dir": "make directory of the socket",
	} {
		l, err := Listen(t.Context(), filepath.Join(dir, "agent-1.sock"))
		if err == nil {
			_ = l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", dir, err, want)
		}
	}
}

// TestCloseKeepsSuccessor does not remove a socket that has taken the place.
func TestCloseKeepsSuccessor(t *testing.T) {
	path := place(t)
	first := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	_ = first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}
