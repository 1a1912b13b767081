// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/internal/flannel"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
)

// Message lists the fields of a message that are kept, by the numbers in generated.proto
// of k8s.io/api and k8s.io/apimachinery.
type Message map[uint32]field

// field says how much of a field is kept.
type field struct {
	// of is the type of a field that is a message, nil to keep all of it.
	of Message
	// keys are the entries of a map that are kept, nil for no map. One that ends with a
	// slash stands for all that begin with it.
	keys []string
}

// listOf keeps all metadata of a list.
func listOf(items Message) Message { return Message{1: {}, 2: {of: items}} }

// meta keeps the names, versions and times of an object, and of its labels and annotations
// those that are named.
func meta(labels, annotations []string) field {
	return field{of: Message{
		1: {}, 3: {}, 5: {}, 6: {}, 8: {}, 9: {}, // name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp
		11: {keys: labels},
		12: {keys: append(annotations, metav1.InitialEventsAnnotationKey)},
	}}
}

func service() Message {
	ports := Message{1: {}, 2: {}, 3: {}, 5: {}} // name, protocol, port, nodePort
	ingress := Message{1: {}, 3: {}}             // ip, ipMode
	return Message{
		1: meta([]string{convert.LabelServiceProxyName}, nil),
		2: {of: Message{
			1: {of: ports}, 3: {}, 4: {}, 5: {}, 7: {}, 9: {}, // clusterIP, type, externalIPs, sessionAffinity, loadBalancerSourceRanges
			11: {}, 12: {}, 14: {}, 18: {}, 22: {}, // externalTrafficPolicy, healthCheckNodePort, sessionAffinityConfig, clusterIPs, internalTrafficPolicy
		}},
		3: {of: Message{1: {of: Message{1: {of: ingress}}}}}, // loadBalancer.ingress
	}
}

func slice() Message {
	return Message{
		1: meta([]string{corev1.IsHeadlessService, discoveryv1.LabelServiceName}, []string{corev1.EndpointsLastChangeTriggerTime}),
		2: {of: Message{1: {}, 2: {}, 6: {}, 7: {}, 8: {}}}, // addresses, conditions, nodeName, zone, hints
		3: {of: Message{1: {}, 2: {}, 3: {}}},               // name, protocol, port
		4: {},                                               // addressType
	}
}

func node() Message {
	return Message{
		1: meta([]string{corev1.LabelTopologyZone}, []string{flannel.Prefix, objects.AnnotationUnderlay, objects.AnnotationUnderlayWritten}),
		2: {of: Message{1: {}, 5: {of: Message{1: {}}}, 7: {}}}, // podCIDR, the keys of taints, podCIDRs
		3: {of: Message{5: {}}},                                 // addresses
	}
}
