// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spec "github.com/opencontainers/image-spec/specs-go/v1"
)

// plainIndex is an index in the encoding of the types of the OCI specification. Programs that
// copy images decode an index into these types and encode it again, and skopeo 1.9 knows
// no type of artifact. Any other encoding gets another digest on its way to a registry,
// and the digest that a chart pins would not be there.
type plainIndex struct {
	inner
	raw []byte
}

// inner is a name for what has a method of its own name.
type inner = v1.ImageIndex

func newPlainIndex(index v1.ImageIndex) (*plainIndex, error) {
	raw, err := index.RawManifest()
	if err != nil {
		return nil, fmt.Errorf("encode index: %w", err)
	}
	var decoded spec.Index
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, fmt.Errorf("decode index: %w", err)
	}
	for i := range decoded.Manifests {
		decoded.Manifests[i].ArtifactType = ""
	}
	raw, err = json.Marshal(decoded)
	if err != nil {
		return nil, fmt.Errorf("encode index: %w", err)
	}
	return &plainIndex{index, raw}, nil
}

// RawManifest implements v1.ImageIndex.
func (i *plainIndex) RawManifest() ([]byte, error) { return i.raw, nil }

// IndexManifest implements v1.ImageIndex.
func (i *plainIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.raw))
}

// Digest implements v1.ImageIndex.
func (i *plainIndex) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(i.raw))
	return h, err
}

// Size implements v1.ImageIndex.
func (i *plainIndex) Size() (int64, error) { return int64(len(i.raw)), nil }
