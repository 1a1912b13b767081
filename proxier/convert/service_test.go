// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"fairlead/internal/inet"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// TestConvertService changes one thing of a Service that is fine.
func TestConvertService(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	for _, tc := range []struct {
		name     string
		change   func(*corev1.Service)
		want     func(*objects.Service) // nil: no object
		problems []string
	}{
		{"as it is", func(*corev1.Service) {}, func(*objects.Service) {}, nil},
		{"other proxy", func(s *corev1.Service) { s.Labels = map[string]string{LabelServiceProxyName: ""} }, nil, nil},
		{"headless label", func(s *corev1.Service) { s.Labels = map[string]string{corev1.IsHeadlessService: ""} }, func(*objects.Service) {}, nil},
		{"external name", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, nil, nil},
		{"headless", func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, nil, nil},
		{"headless, new field", func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = "", []string{"None"} }, nil, nil},
		{"no address yet", func(s *corev1.Service) { s.Spec.ClusterIP = "" }, nil, nil},
		{"bad address", func(s *corev1.Service) { s.Spec.ClusterIP = "10.96" }, nil, []string{`spec.clusterIP: "10.96" is not an IP address`}},
		{"one family is bad", func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"::1", "10.96.0.010"} },
			func(s *objects.Service) { s.ClusterIPs = proxiertest.MustAddrs("10.96.0.10") }, []string{"spec.clusterIPs[0]: ::1 is a loopback address"}},
		{"dual stack", func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"10.96.0.1", "fd00::1"} },
			func(s *objects.Service) { s.ClusterIPs = proxiertest.MustAddrs("10.96.0.1", "fd00::1") }, nil},
		{"one family twice", func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"10.96.0.1", "10.96.0.2"} },
			func(*objects.Service) {}, []string{"spec.clusterIPs[1]: 10.96.0.2 is a second address of its family"}},
		{"bad name", func(s *corev1.Service) { s.Name = "We b" }, nil,
			[]string{`metadata.name: "We b" is not a valid name: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'`}},
		{"namespace with a dot", func(s *corev1.Service) { s.Namespace = "a.b" }, nil,
			[]string{`metadata.namespace: "a.b" is not a valid name: must not contain dots`}},
		{"no ports", func(s *corev1.Service) { s.Spec.Ports = nil }, func(s *objects.Service) { s.Ports = nil }, nil},
		{"external IPs", func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.1", "fe80::1", "fd00::2", "192.0.2.1"} },
			func(s *objects.Service) { s.ExternalIPs = proxiertest.MustAddrs("192.0.2.1", "fd00::2") }, []string{"spec.externalIPs[1]: fe80::1 is a link-local address"}},
		{"ingress", func(s *corev1.Service) {
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{
				{IP: "192.0.2.1"}, {IP: "192.0.2.2", IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)},
				{IP: "192.0.2.3", IPMode: ptr.To(corev1.LoadBalancerIPModeProxy)}, {Hostname: "lb.example.com"}, {IP: "lb"},
			}
		}, func(s *objects.Service) { s.LoadBalancerIPs = proxiertest.MustAddrs("192.0.2.1", "192.0.2.2") },
			[]string{`status.loadBalancer.ingress[4].ip: "lb" is not an IP address`}},
		{"source ranges", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{" 10.0.0.0/8 ", "any"} },
			func(s *objects.Service) { s.Restricted, s.SourceRanges = true, proxiertest.MustPrefixes("10.0.0.0/8") },
			[]string{`spec.loadBalancerSourceRanges[1]: "any" is not a CIDR`}},
		{"no source range is good", func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{""} },
			func(s *objects.Service) { s.Restricted = true }, []string{`spec.loadBalancerSourceRanges[0]: "" is not a CIDR`}},
		{"policies", func(s *corev1.Service) {
			s.Spec.ExternalTrafficPolicy, s.Spec.InternalTrafficPolicy = "Local", &local
			s.Spec.HealthCheckNodePort = 30001 // not a load balancer
		}, func(s *objects.Service) { s.ExternalLocal, s.InternalLocal = true, true }, nil},
		{"unknown policy", func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = "local" },
			func(*objects.Service) {}, []string{`spec.externalTrafficPolicy: "local" is not Cluster or Local; Cluster is used`}},
		{"health check", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = "LoadBalancer", "Local", 30001
		}, func(s *objects.Service) { s.ExternalLocal, s.HealthCheckNodePort = true, 30001 }, nil},
		{"health check of no use", func(s *corev1.Service) { s.Spec.Type, s.Spec.HealthCheckNodePort = "LoadBalancer", 30001 }, func(*objects.Service) {}, nil},
		{"health check port", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = "LoadBalancer", "Local", -1
		}, func(s *objects.Service) { s.ExternalLocal = true }, []string{"spec.healthCheckNodePort: -1 is not a port number from 1 to 65535"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := &corev1.Service{}
			in.Namespace, in.Name = "default", "web"
			in.Spec.ClusterIP = "10.96.0.1"
			in.Spec.Ports = []corev1.ServicePort{{Port: 80}}
			tc.change(in)
			var want *objects.Service
			if tc.want != nil {
				want = &objects.Service{
					Key: types.NamespacedName{Namespace: "default", Name: "web"}, ClusterIPs: proxiertest.MustAddrs("10.96.0.1"),
					Ports: []objects.ServicePort{{Proto: inet.TCP, Port: 80}},
				}
				tc.want(want)
			}
			got, problems := convertService(in)
			if diff := cmp.Diff(want, got, proxiertest.Values); diff != "" {
				t.Errorf("convertService (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problems, texts(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConvertServicePorts(t *testing.T) {
	var in []corev1.ServicePort
	manifest := `
- {name: http, port: 80, protocol: TCP, nodePort: 30080, targetPort: http}
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
- {name: assoc, port: 80, protocol: SCTP}
- {name: again, port: 80}
- {name: same-node-port, port: 81, nodePort: 30080}
- {name: wild, port: 82, nodePort: 70000}
- {name: zero, port: 0}
- {name: large, port: 65536}
- {name: icmp, port: 83, protocol: ICMP}
- {name: 'x"y', port: 84}
- {name: 'two wrongs', port: -1}
`
	if err := yaml.Unmarshal([]byte(manifest), &in); err != nil {
		t.Fatal(err)
	}
	r := newChecker(objects.KindService, "default/web", "")
	want := []objects.ServicePort{
		{Name: "http", Proto: inet.TCP, Port: 80, NodePort: 30080},
		{Name: "dns", Proto: inet.UDP, Port: 53},
		{Name: "dns-tcp", Proto: inet.TCP, Port: 53},
		{Name: "assoc", Proto: inet.SCTP, Port: 80},
		{Name: "same-node-port", Proto: inet.TCP, Port: 81},
		{Name: "wild", Proto: inet.TCP, Port: 82},
	}
	if diff := cmp.Diff(want, r.servicePorts(in)); diff != "" {
		t.Errorf("servicePorts (-want +got):\n%s", diff)
	}
	const label = "is not a valid name: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
	wantProblems := []string{
		"spec.ports[4].port: 80/tcp is there already",
		"spec.ports[5].nodePort: 30080/tcp is there already",
		"spec.ports[6].nodePort: 70000 is not a port number from 1 to 65535",
		"spec.ports[7].port: 0 is not a port number from 1 to 65535",
		"spec.ports[8].port: 65536 is not a port number from 1 to 65535",
		`spec.ports[9].protocol: protocol "ICMP" is not TCP, UDP or SCTP`,
		`spec.ports[10].name: "x\"y" ` + label,
		`spec.ports[11].name: "two wrongs" ` + label,
		"spec.ports[11].port: -1 is not a port number from 1 to 65535",
	}
	if diff := cmp.Diff(wantProblems, texts(r.Problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestConvertAffinity(t *testing.T) {
	const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds: "
	for _, tc := range []struct {
		name     string
		affinity corev1.ServiceAffinity
		seconds  *int32
		want     time.Duration
		problem  string
	}{
		{"none", "None", ptr.To[int32](60), 0, ""},
		{"unset", "", nil, 0, ""},
		{"default", "ClientIP", nil, 3 * time.Hour, ""},
		{"shortest", "ClientIP", ptr.To[int32](1), time.Second, ""},
		{"longest", "ClientIP", ptr.To[int32](86400), 24 * time.Hour, ""},
		{"zero", "ClientIP", ptr.To[int32](0), 3 * time.Hour, field + "0 is not from 1 to 86400; 10800 is used"},
		{"too long", "ClientIP", ptr.To[int32](86401), 3 * time.Hour, field + "86401 is not from 1 to 86400; 10800 is used"},
		{"unknown", "Cookie", nil, 0, `spec.sessionAffinity: "Cookie" is not None or ClientIP; None is used`},
	} {
		in := &corev1.Service{}
		in.Spec.SessionAffinity = tc.affinity
		if tc.seconds != nil {
			in.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: tc.seconds}}
		}
		r := newChecker(objects.KindService, "default/web", "")
		got := r.affinity(in)
		var problem string
		if list := texts(r.Problems); len(list) > 0 {
			problem = list[0]
		}
		if got != tc.want || problem != tc.problem {
			t.Errorf("%s: %v, %q, want %v, %q", tc.name, got, problem, tc.want, tc.problem)
		}
	}
}
