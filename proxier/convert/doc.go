// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package convert turns API objects into slim objects. It is pure: each function returns
// the slim form of an object and its problems. An invalid field is left out; where the rest
// makes no sense without it, so is the port, the endpoint or the object. The slim form is
// nil for an object that does not matter to this node.
package convert
