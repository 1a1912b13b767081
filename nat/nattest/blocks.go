// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package nattest

import (
	"regexp"
	"slices"
	"strings"
)

// Blocks returns the blocks of a listing of the table, sorted. It puts the elements
// of each set on lines of their own, sorted, because nft lists hash tables in the
// order of their hashes. It leaves the default size out: the kernel gives it to a map with the
// first rule that fills it, and nft lists it from then on.
func Blocks(text string) []string {
	var blocks []string
	text = strings.ReplaceAll(text, "\t\tsize 65535\n", "")
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "}\n"), "\n\n") {
		_, rest, ok := strings.Cut(block, "table inet fairlead {\n") // before the first set
		if ok {
			block = rest
		}
		block = strings.TrimSpace(block)
		lines := strings.Split(regexp.MustCompile(`,\n\s*`).ReplaceAllString(block, ",\n"), "\n")
		for i, line := range lines {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "elements = { "); ok {
				els := append([]string{rest}, lines[i+1:len(lines)-1]...)
				var all []string
				for _, el := range els {
					for one := range strings.SplitSeq(el, ", ") {
						all = append(all, strings.TrimSuffix(strings.TrimSuffix(one, ","), " }"))
					}
				}
				slices.Sort(all)
				lines = append(append(lines[:i:i], all...), lines[len(lines)-1])
				break
			}
		}
		blocks = append(blocks, strings.Join(lines, "\n"))
	}
	slices.Sort(blocks)
	return blocks
}
