// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package proxier

// NodeReport takes over what is wrong with a node itself, and not with an object:
// about names the part of it, for example a kernel setting. It replaces what was
// last said about that part; no text clears it.
func (b *Book) NodeReport(node, about string, texts []string) {
	problems := make([]Problem, len(texts))
	for i, text := range texts {
		problems[i] = Problem{Kind: kindNode, Name: node, Field: about, Text: text}
	}
	b.Set(about, objectKey{kindNode, node}, problems)
}
