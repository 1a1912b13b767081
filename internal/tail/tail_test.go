// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package tail

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestLog writes more than fits, in pieces: the last lines are there, whole and in order.
func TestLog(t *testing.T) {
	var l Log
	if lines, cut := l.Lines(); len(lines) != 0 || cut {
		t.Errorf("nothing written: %q, %v", lines, cut)
	}
	_, _ = l.Write([]byte("one\ntwo"))
	_, _ = l.Write([]byte(" halves\n"))
	if lines, cut := l.Lines(); fmt.Sprint(lines) != "[one two halves]" || cut {
		t.Errorf("%q, %v", lines, cut)
	}
	const n = 40_000
	for i := range n {
		if m, err := fmt.Fprintf(&l, "line %d of many\n", i); err != nil || m == 0 {
			t.Fatal(m, err)
		}
	}
	lines, cut := l.Lines()
	first := n - len(lines)
	for i, line := range lines {
		if line != fmt.Sprintf("line %d of many", first+i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if size := len(strings.Join(lines, "\n")); !cut || size > MaxBytes || size < MaxBytes-100 {
		t.Errorf("%d bytes, cut %v", size, cut)
	}
	if cap(l.text) > 4*MaxBytes {
		t.Errorf("the log takes %d bytes", cap(l.text))
	}
}

// TestHugeLine: neither an endless line nor bytes that are no text take more than the limit.
func TestHugeLine(t *testing.T) {
	var l Log
	for range 100 {
		_, _ = l.Write([]byte(strings.Repeat("x", 3*MaxBytes)))
	}
	_, _ = l.Write([]byte("\n\xff\xfe end\r\n" + strings.Repeat("y", maxLine+1) + "\n"))
	lines, cut := l.Lines()
	if len(lines) != 2 || lines[0] != "\ufffd end" || len(lines[1]) != maxLine || !cut {
		t.Errorf("%d lines, cut %v: %.100q", len(lines), cut, lines)
	}
}

// TestConcurrent: writers and readers do not disturb each other.
func TestConcurrent(t *testing.T) {
	var l Log
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				_, _ = fmt.Fprintf(&l, "writer %d line %d %s\n", w, i, strings.Repeat("z", 100))
				if i%100 == 0 {
					l.Lines()
				}
			}
		})
	}
	wg.Wait()
	lines, _ := l.Lines()
	for _, line := range lines {
		if !strings.HasPrefix(line, "writer ") || !strings.HasSuffix(line, "z") {
			t.Fatalf("a line is torn: %q", line)
		}
	}
}

// TestRead reads the end of a file.
func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		"": "[] false", "a\nb": "[a b] false", strings.Repeat("x", MaxBytes) + "\nlast\n": "[last] true",
	} {
		lines, cut, err := Read(strings.NewReader(text), int64(len(text)))
		if got := fmt.Sprint(lines, cut); err != nil || got != want {
			t.Errorf("%.20q: %.60s, %v; want %s", text, got, err, want)
		}
	}
	lines, _, err := Read(strings.NewReader("short"), 100) // it was cut while it was read
	if err != nil || fmt.Sprint(lines) != "[short]" {
		t.Errorf("%q, %v", lines, err)
	}
}
