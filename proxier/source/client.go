// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
)

// Client reads the kinds that RunAPI follows. A kubernetes.Interface is one.
type Client interface {
	CoreV1() coreclient.CoreV1Interface
	DiscoveryV1() discoveryclient.DiscoveryV1Interface
	NetworkingV1() networkingclient.NetworkingV1Interface
}

// client decodes objects in protobuf into slim objects, see slimDecoder.
type client struct {
	core       coreclient.CoreV1Interface
	discovery  discoveryclient.DiscoveryV1Interface
	networking networkingclient.NetworkingV1Interface
}

func (c *client) CoreV1() coreclient.CoreV1Interface                   { return c.core }
func (c *client) DiscoveryV1() discoveryclient.DiscoveryV1Interface    { return c.discovery }
func (c *client) NetworkingV1() networkingclient.NetworkingV1Interface { return c.networking }

// NewClient returns a Client for RunAPI that takes less memory and processor time than a
// kubernetes.Interface. Only what RunAPI reads of objects is in them.
func NewClient(cfg *rest.Config, h *http.Client) (Client, error) {
	serializer := newSerializer(rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion())
	of := func(gv schema.GroupVersion, path string) (rest.Interface, error) {
		own := *cfg
		own.GroupVersion, own.APIPath, own.NegotiatedSerializer = &gv, path, serializer
		c, err := rest.RESTClientForConfigAndClient(&own, h)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", gv, err)
		}
		return c, nil
	}
	core, err := of(corev1.SchemeGroupVersion, "/api")
	if err != nil {
		return nil, err
	}
	discovery, err := of(discoveryv1.SchemeGroupVersion, "/apis")
	if err != nil {
		return nil, err
	}
	networking, err := of(networkingv1.SchemeGroupVersion, "/apis")
	if err != nil {
		return nil, err
	}
	return &client{coreclient.New(core), discoveryclient.New(discovery), networkingclient.New(networking)}, nil
}

// serializer replaces the decoders of protobuf.
type serializer struct {
	runtime.NegotiatedSerializer
	media    []runtime.SerializerInfo
	protobuf runtime.Serializer // of NegotiatedSerializer
}

func newSerializer(base runtime.NegotiatedSerializer) *serializer {
	s := &serializer{NegotiatedSerializer: base}
	for _, info := range base.SupportedMediaTypes() {
		if info.MediaType == runtime.ContentTypeProtobuf && info.StreamSerializer != nil {
			s.protobuf = info.Serializer
			stream := *info.StreamSerializer
			stream.Serializer = eventSerializer{stream.Serializer}
			info.StreamSerializer = &stream
		}
		s.media = append(s.media, info)
	}
	return s
}

// SupportedMediaTypes returns how objects can be read.
func (s *serializer) SupportedMediaTypes() []runtime.SerializerInfo { return s.media }

// DecoderToVersion returns a decoder for one answer of the API server.
func (s *serializer) DecoderToVersion(d runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	whole := s.NegotiatedSerializer.DecoderToVersion(d, gv)
	if d != runtime.Decoder(s.protobuf) {
		return whole
	}
	return newSlimDecoder(whole)
}
