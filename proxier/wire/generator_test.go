// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/randfill"

	"fairlead/internal/flannel"
	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
)

// generator makes random objects. Every field that convert may look at has values that are
// valid, values that are not, and none.
type generator struct {
	*rand.Rand
	fill *randfill.Filler
}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.fill = randfill.NewWithSeed(int64(seed)).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(
		func(q *resource.Quantity, _ randfill.Continue) {
			*q = *resource.NewQuantity(int64(g.IntN(1000)), resource.DecimalSI)
		},
		func(m *metav1.Time, _ randfill.Continue) { *m = metav1.Unix(int64(g.IntN(2_000_000_000)), 0) },
		func(s *string, _ randfill.Continue) { *s = g.text() },
		func(s *types.UID, _ randfill.Continue) { *s = types.UID(g.text()) },
		func(n *int32, _ randfill.Continue) {
			*n = []int32{0, 1, 80, 443, 65535, 70000, -1, g.Int32()}[g.IntN(8)]
		},
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			m.Name, m.Namespace = pick(g, "web", "web-1", "a", g.text()), pick(g, "default", "prod", "a", g.text())
			m.Labels, m.Annotations = g.texts(), g.texts()
		},
		func(e *discoveryv1.Endpoint, c randfill.Continue) {
			c.FillNoCustom(e)
			if g.IntN(4) > 0 {
				e.Addresses = append([]string{pick(g, "10.0.0.1", "fd00::1")}, e.Addresses...)
			}
		},
		func(m *corev1.Taint, c randfill.Continue) {
			c.FillNoCustom(m)
			m.Key = pick(g, m.Key, "ToBeDeletedByClusterAutoscaler")
		},
		func(s *discoveryv1.AddressType, _ randfill.Continue) {
			*s = pick(g, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN, "x")
		},
		func(s *corev1.Protocol, _ randfill.Continue) {
			*s = pick(g, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP, "", "x")
		},
		func(s *corev1.ServiceType, _ randfill.Continue) {
			*s = pick(g, corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName, "")
		},
		func(s *corev1.ServiceAffinity, _ randfill.Continue) {
			*s = pick(g, corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone, "", "x")
		},
		func(s *corev1.ServiceExternalTrafficPolicy, _ randfill.Continue) {
			*s = pick(g, corev1.ServiceExternalTrafficPolicyLocal, corev1.ServiceExternalTrafficPolicyCluster, "", "x")
		},
		func(s *corev1.ServiceInternalTrafficPolicy, _ randfill.Continue) {
			*s = pick(g, corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceInternalTrafficPolicyCluster, "x")
		},
		func(s *corev1.LoadBalancerIPMode, _ randfill.Continue) {
			*s = pick(g, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP, "x")
		},
		func(s *corev1.NodeAddressType, _ randfill.Continue) {
			*s = pick(g, corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName)
		},
	)
	return g
}

// object fills an object.
func (g *generator) object(o any) {
	g.fill.Fill(o)
	g.thin(reflect.ValueOf(o).Elem())
}

// thin clears some of the pointers in a value, because randfill fills all of them that
// point to a type with a function of its own.
func (g *generator) thin(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.CanSet() && g.IntN(3) == 0 {
			v.SetZero()
		} else if !v.IsNil() {
			g.thin(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				g.thin(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			g.thin(v.Index(i))
		}
	}
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

func (g *generator) text() string {
	return pick(g, "", "web", "default", "http", "node-a", fmt.Sprint("name-", g.IntN(1000)), "Not Valid", "10.0.0.1", "010.0.0.1", "fd00::1", "10.96.0.10",
		"10.0.0.0/8", "fd00::/64", "None", "ToBeDeletedByClusterAutoscaler", "127.0.0.1", "192.0.2.1,192.0.2.2", "true", "2026-01-02T03:04:05Z", "vxlan",
		`{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}`, "\x1b[31m", "\xff")
}

// texts are labels or annotations.
func (g *generator) texts() map[string]string {
	out := map[string]string{"other": "x"}
	for _, key := range []string{
		convert.LabelServiceProxyName, corev1.IsHeadlessService, corev1.LabelTopologyZone, objects.AnnotationUnderlay, objects.AnnotationUnderlayWritten,
		flannel.Prefix + "kube-subnet-manager", flannel.Prefix + "backend-type", flannel.Prefix + "backend-data", flannel.Prefix + "public-ip", flannel.Prefix + "public-ip-overwrite",
		flannel.Prefix + "backend-v6-data", flannel.Prefix + "public-ipv6", corev1.EndpointsLastChangeTriggerTime, metav1.InitialEventsAnnotationKey,
	} {
		if g.IntN(6) == 0 {
			out[key] = g.text()
		}
	}
	if g.IntN(4) > 0 {
		out[discoveryv1.LabelServiceName] = g.text()
	}
	return out
}
