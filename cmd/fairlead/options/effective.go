// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"encoding/csv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/kube-proxy/config/v1alpha1"

	"fairlead/proxier/resolve"
)

// configz returns the answer of /configz: the effective configuration as kube-proxy's
// fields, as fairlead's, and as flags.
func configz(cfg resolve.Config, fs *pflag.FlagSet) map[string]any {
	flags := map[string]any{}
	fs.VisitAll(func(f *pflag.Flag) {
		if _, skip := f.Value.(*ignored); !skip && !isAlias(f.Name) && f.Name != "help" {
			flags[f.Name] = flagValue(f)
		}
	})
	return map[string]any{v1alpha1.GroupName: effective(fs), "fairlead": cfg, "flags": flags}
}

func isAlias(name string) bool {
	return slices.ContainsFunc(aliases(), func(a [2]string) bool { return a[0] == name })
}

// effective returns the KubeProxyConfiguration of mode nftables that is equivalent to
// the flags.
func effective(fs *pflag.FlagSet) map[string]any {
	tree := map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(),
		"kind":       "KubeProxyConfiguration",
	}
	for _, f := range fields() {
		if f.flag == "" || !f.counts(modeNFTables) {
			continue
		}
		v := flagValue(fs.Lookup(f.flag))
		switch f.path {
		case "mode":
			v = modeNFTables
		case "clusterCIDR":
			v = fs.Lookup(f.flag).Value.String()
			v = strings.Trim(v.(string), "[]")
		case "logging.vmodule":
			continue // the field is a list of objects
		}
		put(tree, strings.Split(f.path, "."), v)
	}
	return tree
}

func put(tree map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		sub, ok := tree[name].(map[string]any)
		if !ok {
			sub = map[string]any{}
			tree[name] = sub
		}
		tree = sub
	}
	tree[path[len(path)-1]] = v
}

// flagValue returns the value of a flag for JSON.
func flagValue(f *pflag.Flag) any {
	text := f.Value.String()
	switch f.Value.Type() {
	case "bool":
		return text == "true"
	case "int", "int32", "uint16", "uint32", "float32", "Level":
		n, _ := strconv.ParseFloat(text, 64)
		return n
	case "stringSlice":
		list, _ := csv.NewReader(strings.NewReader(strings.Trim(text, "[]"))).Read()
		return append([]string{}, list...)
	case "stringToBool", "mapStringBool":
		m := map[string]bool{}
		for pair := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			if k, v, ok := strings.Cut(pair, "="); ok {
				m[k] = v == "true"
			}
		}
		return m
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
