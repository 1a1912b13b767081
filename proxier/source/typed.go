// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/proxier/objects"
	"fairlead/proxier/store"
)

// ReadTyped returns the objects of a file, or of the files of a directory, as Kubernetes
// has them. It includes objects that fairlead does not serve, such as headless Services.
// Of several objects of one name it returns the one that ReadFiles uses. The error says
// what could not be read; all other objects are in the result.
func ReadTyped(path string) ([]metav1.Object, error) {
	f := newFiles(path, store.New())
	names, err := f.list()
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	var out []metav1.Object
	var errs []error
	at := map[objects.Key]int{}
	for _, name := range names {
		list, err := readTyped(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %w", name, err))
		}
		before := len(out)
		for _, obj := range list {
			key := objects.Key{Kind: fmt.Sprintf("%T", obj), Name: obj.GetNamespace() + "/" + obj.GetName()}
			i, twice := at[key]
			switch {
			case !twice:
				at[key] = len(out)
				out = append(out, obj)
			case i >= before: // in the same file, whose last one counts
				out[i] = obj
			}
		}
	}
	return out, errors.Join(errs...)
}

func readTyped(name string) ([]metav1.Object, error) {
	if _, err := versionOf(name); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, pathless(err)
	}
	return ParseTyped(data)
}

// ParseTyped is ReadTyped for the content of one file. It returns every object that can be
// decoded, in the order of the file, with an error about the others.
func ParseTyped(data []byte) ([]metav1.Object, error) {
	var out []metav1.Object
	p := &parser{typed: func(obj metav1.Object) { out = append(out, obj) }}
	list, err := p.parse(data)
	if err != nil {
		return out, err
	}
	var errs []error
	_, unread := decoded(list)
	for _, p := range unread {
		errs = append(errs, errors.New(p.String()))
	}
	return out, errors.Join(errs...)
}
