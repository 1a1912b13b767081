// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/kube-proxy/config/v1alpha1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Warning names a setting of kube-proxy or flannel that fairlead ignores.
type Warning struct{ Setting, Reason string }

// configFile is kube-proxy's configuration file.
type configFile struct {
	data     []byte
	tree     map[string]any
	typed    v1alpha1.KubeProxyConfiguration
	mistakes error // values of the wrong type
	warnings []Warning
}

// readConfigFile reads the file of kube-proxy's flag --config. An unknown field is a
// warning, as in kube-proxy, because the file may be of another version.
func readConfigFile(path string) (*configFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	c := &configFile{data: data}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		c.warnings = append(c.warnings, Warning{path, err.Error()})
		text, err = yaml.YAMLToJSON(data)
	}
	if err == nil {
		err = yaml.Unmarshal(text, &c.tree)
	}
	if err != nil {
		return nil, fmt.Errorf("--config: read %s: %w", path, err)
	}
	strict, err := kjson.UnmarshalStrict(text, &c.typed)
	for _, e := range strict {
		c.warnings = append(c.warnings, Warning{path, e.Error()})
	}
	if err != nil {
		c.mistakes = fmt.Errorf("--config: read %s: %w", path, err)
	}
	if have, want := c.typed.GroupVersionKind(), v1alpha1.SchemeGroupVersion.WithKind("KubeProxyConfiguration"); err == nil && have != want {
		return nil, fmt.Errorf("--config: %s: apiVersion %q and kind %q are not %q and %q", path, c.typed.APIVersion, c.typed.Kind, want.GroupVersion(), want.Kind)
	}
	return c, nil
}

// apply sets the flags that the command line left open to the values of c, or else to
// kube-proxy's defaults.
func (c *configFile) apply(fs *pflag.FlagSet) error {
	mode, err := c.mode(fs)
	errs := []error{err}
	for _, f := range fields() {
		v := leaf(c.tree, f.path)
		switch {
		case !isSet(v, f.zero):
		case f.flag == "":
			c.warnings = append(c.warnings, Warning{f.path, f.why})
		case !f.counts(mode):
			c.warnings = append(c.warnings, Warning{f.path, "is not for mode " + mode})
		case !fs.Lookup(f.flag).Changed:
			text := plain
			if f.text != nil {
				text = f.text
			}
			if err := fs.Set(f.flag, text(v)); err != nil {
				errs = append(errs, fmt.Errorf("--config: %s: %w", f.path, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err // it names the field; the decoder does so for some errors only
	}
	if c.mistakes != nil {
		return c.mistakes
	}
	return c.defaults(fs, mode)
}

// mode returns the mode, which selects the sections of the file that count.
func (c *configFile) mode(fs *pflag.FlagSet) (string, error) {
	mode := string(c.typed.Mode)
	if f := fs.Lookup("proxy-mode"); f.Changed {
		mode = f.Value.String()
	}
	switch mode {
	case "":
		return modeIPTables, nil
	case modeIPTables, modeIPVS, modeNFTables:
		return mode, nil
	}
	return mode, fmt.Errorf("mode: %q is not one of %s", mode, []string{modeIPTables, modeIPVS, modeNFTables})
}

// defaults sets kube-proxy's defaults, so that NodePorts and limits of conntrack stay
// the same when fairlead replaces it.
func (c *configFile) defaults(fs *pflag.FlagSet, mode string) error {
	settings := [][2]string{
		{"conntrack-max-per-core", "32768"},
		{"conntrack-min", "131072"},
		{"conntrack-tcp-timeout-established", "24h"},
		{"conntrack-tcp-timeout-close-wait", "1h"},
	}
	if mode != modeNFTables {
		settings = append(settings, [2]string{"nodeport-addresses", "all"})
	}
	var errs []error
	for _, s := range settings {
		if !fs.Lookup(s[0]).Changed {
			errs = append(errs, fs.Set(s[0], s[1]))
		}
	}
	return errors.Join(errs...)
}
