// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"fmt"
	"strings"
	"time"
)

// Entry is an element with the facts that the kernel adds to it: its counter and its
// expiry. It is for people to read; plans compare Elements.
type Entry struct {
	Element
	Packets, Bytes uint64 // if Element.Counter is set
	// Timeout is the lifetime of an entry of an affinity map, and Expires what is
	// left of it; 0 is none.
	Timeout, Expires time.Duration
}

// String returns the entry as nft prints it between braces.
func (e *Entry) String() string {
	text := e.Element.String()
	if e.Counter {
		text = strings.Replace(text, " counter packets 0 bytes 0", fmt.Sprintf(" counter packets %d bytes %d", e.Packets, e.Bytes), 1)
	}
	if e.Timeout == 0 {
		return text
	}
	key, data, _ := strings.Cut(text, " : ")
	return fmt.Sprintf("%s timeout %s expires %s : %s", key, TimeText(e.Timeout), TimeText(e.Expires), data)
}
