// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package masqfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// DefaultPath is the path that ip-masq-agent reads.
const DefaultPath = "/etc/config/ip-masq-agent"

// Config holds the settings of the file. The zero value is invalid; use Absent, Default
// or Parse.
type Config struct {
	NonMasqueradeCIDRs []netip.Prefix
	MasqLinkLocal      bool // masquerade towards 169.254.0.0/16, too
	MasqLinkLocalIPv6  bool // and towards fe80::/10
	// ResyncInterval is how often the file is read without any event.
	ResyncInterval time.Duration
}

const defaultResync = 60 * time.Second

// Absent returns the settings that hold without a file: everything that leaves the
// cluster is masqueraded, including metadata services on link-local addresses.
func Absent() Config {
	return Config{MasqLinkLocal: true, MasqLinkLocalIPv6: true, ResyncInterval: defaultResync}
}

// Default returns the settings of an empty file: the defaults of ip-masq-agent.
func Default() Config {
	return Config{
		NonMasqueradeCIDRs: []netip.Prefix{ // RFC 1918
			netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"),
		},
		ResyncInterval: defaultResync,
	}
}

// NonMasquerade returns all destinations that pods reach with their own address,
// besides the pods of the cluster: sorted, each once.
func (c Config) NonMasquerade() []netip.Prefix {
	out := slices.Clone(c.NonMasqueradeCIDRs)
	if !c.MasqLinkLocal {
		out = append(out, netip.MustParsePrefix("169.254.0.0/16"))
	}
	if !c.MasqLinkLocalIPv6 {
		out = append(out, netip.MustParsePrefix("fe80::/10"))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// Equal reports whether two configurations have the same settings.
func (c Config) Equal(o Config) bool {
	return slices.Equal(c.NonMasqueradeCIDRs, o.NonMasqueradeCIDRs) && c.MasqLinkLocal == o.MasqLinkLocal &&
		c.MasqLinkLocalIPv6 == o.MasqLinkLocalIPv6 && c.ResyncInterval == o.ResyncInterval
}

// Parse reads a file in YAML or JSON. Like ip-masq-agent it accepts the whole file or
// nothing. Unlike ip-masq-agent it reports an unknown field as an error, because that
// is a typing mistake. The error lists every fault with its place.
func Parse(text []byte) (Config, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return Default(), nil
	case err != nil:
		return Config{}, yamlError(err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("there is more than one document")
	}
	root := follow(doc.Content[0])
	if root.Tag == "!!null" {
		return Default(), nil
	}
	if root.Kind != yaml.MappingNode {
		return Config{}, fmt.Errorf("line %d: not a mapping of fields to values", root.Line)
	}
	c := Default()
	var errs []error
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], follow(root.Content[i+1])
		if line, again := seen[key.Value]; again {
			errs = append(errs, fmt.Errorf("line %d: %s: is there already, in line %d", key.Line, key.Value, line))
			continue
		}
		seen[key.Value] = key.Line
		if value.Tag == "!!null" {
			continue // an empty field counts as absent
		}
		if key.Value == "nonMasqueradeCIDRs" && value.Kind == yaml.SequenceNode {
			errs = append(errs, c.setCIDRs(key.Value, value)) // has lines of its own
		} else if err := c.set(key.Value, value); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", key.Line, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// set sets one field.
func (c *Config) set(field string, value *yaml.Node) error {
	switch field {
	case "nonMasqueradeCIDRs":
		return fmt.Errorf("%s: %q is not a list", field, shown(value))
	case "masqLinkLocal":
		return setBool(&c.MasqLinkLocal, field, value)
	case "masqLinkLocalIPv6":
		return setBool(&c.MasqLinkLocalIPv6, field, value)
	case "resyncInterval":
		d, err := time.ParseDuration(value.Value)
		if err != nil || value.Tag != "!!str" || d <= 0 {
			return fmt.Errorf("%s: %q is not a duration such as \"60s\"", field, shown(value))
		}
		c.ResyncInterval = d
		return nil
	case "cidrLimit":
		return nil // ip-masq-agent limits a linear list; a set needs no such limit
	}
	for _, known := range []string{"nonMasqueradeCIDRs", "masqLinkLocal", "masqLinkLocalIPv6", "resyncInterval", "cidrLimit"} {
		if strings.EqualFold(known, field) {
			return fmt.Errorf("%s: there is no such field; did you mean %s?", field, known)
		}
	}
	return fmt.Errorf("%s: there is no such field", field)
}

func (c *Config) setCIDRs(field string, value *yaml.Node) error {
	c.NonMasqueradeCIDRs = nil // an empty list counts: it spares no destination
	var errs []error
	for i, item := range value.Content {
		item = follow(item)
		p, err := netip.ParsePrefix(item.Value)
		switch {
		case item.Kind != yaml.ScalarNode || err != nil || p.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("line %d: %s[%d]: %q is not a CIDR", item.Line, field, i, shown(item)))
		case p != p.Masked():
			errs = append(errs, fmt.Errorf("line %d: %s[%d]: %q has bits set behind its prefix; did you mean %s?", item.Line, field, i, item.Value, p.Masked()))
		default:
			c.NonMasqueradeCIDRs = append(c.NonMasqueradeCIDRs, p)
		}
	}
	return errors.Join(errs...)
}

func setBool(to *bool, field string, value *yaml.Node) error {
	if err := value.Decode(to); err != nil || value.Tag == "!!str" && value.Style != 0 {
		return fmt.Errorf("%s: %q is neither true nor false", field, shown(value))
	}
	return nil
}

// follow returns the node that an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// shown returns a value in the form for errors.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "{...}"
	case yaml.SequenceNode:
		return "[...]"
	}
	return n.Value
}

// yamlError leaves out the name of the library.
func yamlError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}
