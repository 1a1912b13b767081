// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/internal/inet"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"fairlead/proxier/convert"
	"fairlead/proxier/objects"
	"fairlead/proxier/proxiertest"
)

// manifestPods reads Pods that are separated by ---.
func manifestPods(t *testing.T, text string) (pods []*objects.Pod, problems []string) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		var in corev1.Pod
		if err := yaml.UnmarshalStrict([]byte(doc), &in); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		pod, ps := convert.Pod(&in)
		if pod != nil {
			pods = append(pods, pod)
		}
		problems = append(problems, proxiertest.ProblemTexts(ps)...)
	}
	return pods, problems
}

func TestHostPorts(t *testing.T) {
	const meta = "metadata: {namespace: default, name: web}\n"
	const status = "status: {phase: Running, podIPs: [{ip: 10.244.0.3}, {ip: 'fd00:10:244::3'}]}\n"
	spec := func(ports string) string {
		return "spec: {nodeName: node-a, containers: [{name: c, ports: [" + ports + "]}]}\n"
	}
	for _, tt := range []struct {
		name, pods string
		loopback   bool
		want, told []string
	}{{
		name: "both families", pods: meta + status + spec("{containerPort: 80, hostPort: 8080}"),
		want: []string{"0.0.0.0:8080/tcp -> 10.244.0.3:80 default/web", "[::]:8080/tcp -> [fd00:10:244::3]:80 default/web"},
	}, {
		name: "one address", pods: meta + status + spec("{containerPort: 53, hostPort: 5353, protocol: UDP, hostIP: 192.0.2.1}"),
		want: []string{"192.0.2.1:5353/udp -> 10.244.0.3:53 default/web"},
	}, {
		name: "address of another host", pods: meta + status + spec("{containerPort: 53, hostPort: 53, protocol: UDP, hostIP: 8.8.8.8}"),
		want: []string{"8.8.8.8:53/udp -> 10.244.0.3:53 default/web"},
		told: []string{"Pod default/web: spec.containers[0].ports[0].hostPort: 8.8.8.8 is not an address of this Node; the port is served only where an interface of the node has the address"},
	}, {
		name: "unspecified address", pods: meta + status + spec("{containerPort: 53, hostPort: 53, protocol: SCTP, hostIP: '::'}"),
		want: []string{"0.0.0.0:53/sctp -> 10.244.0.3:53 default/web", "[::]:53/sctp -> [fd00:10:244::3]:53 default/web"},
	}, {
		name: "no host port", pods: meta + status + spec("{containerPort: 80}"),
	}, {
		name: "network of the host", pods: meta + status + "spec: {nodeName: node-a, hostNetwork: true, containers: [{name: c, ports: [{containerPort: 80, hostPort: 80}]}]}\n",
	}, {
		name: "ended", pods: meta + "status: {phase: Succeeded, podIP: 10.244.0.3}\n" + spec("{containerPort: 80, hostPort: 80}"),
	}, {
		name: "not started", pods: meta + "status: {phase: Pending}\n" + spec("{containerPort: 80, hostPort: 80}"),
	}, {
		name: "sidecar", pods: meta + status + "spec: {nodeName: node-a, containers: [], initContainers: [" +
			"{name: s, restartPolicy: Always, ports: [{containerPort: 80, hostPort: 80, hostIP: 192.0.2.1}]}, {name: i, ports: [{containerPort: 81, hostPort: 81}]}]}\n",
		want: []string{"192.0.2.1:80/tcp -> 10.244.0.3:80 default/web"},
	}, {
		name: "bad fields", pods: meta + status + spec("{containerPort: 0, hostPort: 80}, {containerPort: 80, hostPort: 70000}, {containerPort: 80, hostPort: 80, protocol: ICMP}, {containerPort: 81, hostPort: 81, hostIP: 192.0.2.1}"),
		want: []string{"192.0.2.1:81/tcp -> 10.244.0.3:81 default/web"},
		told: []string{
			"Pod default/web: spec.containers[0].ports[0].containerPort: 0 is not a port number from 1 to 65535",
			"Pod default/web: spec.containers[0].ports[1].hostPort: 70000 is not a port number from 1 to 65535",
			`Pod default/web: spec.containers[0].ports[2].protocol: protocol "ICMP" is not TCP, UDP or SCTP`,
		},
	}, {
		name: "loopback", pods: meta + status + spec("{containerPort: 80, hostPort: 80, hostIP: 127.0.0.1}, {containerPort: 80, hostPort: 80, hostIP: '::1'}"),
		loopback: true,
		want:     []string{"127.0.0.1:80/tcp -> 10.244.0.3:80 default/web"},
		told:     []string{"Pod default/web: spec.containers[0].ports[1].hostPort: host port [::1]:80/tcp is not served: Linux sends no packets from ::1 to pods"},
	}, {
		name: "loopback without a network of ours", pods: meta + status + spec("{containerPort: 80, hostPort: 80, hostIP: 127.0.0.1}"),
		told: []string{"Pod default/web: spec.containers[0].ports[0].hostPort: host port 127.0.0.1:80/tcp is not served: loopback addresses need --cni-conf-dir"},
	}, {
		name: "family of the address", pods: meta + "status: {phase: Running, podIP: 10.244.0.3}\n" + spec("{containerPort: 80, hostPort: 80, hostIP: '2001:db8::1'}"),
		told: []string{"Pod default/web: spec.containers[0].ports[0].hostPort: the Pod has no address of the family of 2001:db8::1"},
	}, {
		name: "two Pods", pods: meta + status + spec("{containerPort: 80, hostPort: 80, hostIP: 192.0.2.1}") + "---\n" +
			"metadata: {namespace: default, name: other, creationTimestamp: 2026-01-01T00:00:00Z}\n" + status + spec("{containerPort: 80, hostPort: 80, hostIP: 192.0.2.1}, {containerPort: 80, hostPort: 81, hostIP: 192.0.2.1}"),
		want: []string{"192.0.2.1:80/tcp -> 10.244.0.3:80 default/web", "192.0.2.1:81/tcp -> 10.244.0.3:80 default/other"},
		told: []string{"Pod default/other: spec.containers[0].ports[0].hostPort: host port 192.0.2.1:80/tcp belongs to Pod default/web, which is older"},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			pods, told := manifestPods(t, tt.pods)
			contest := NewContest[inet.Addr, PodPort](nil)
			for _, p := range pods {
				wishes, problems := HostPortWishes(p, &Self{Addrs: proxiertest.MustAddrs("192.0.2.1", "2001:db8::1")}, tt.loopback, 1, nil)
				told = append(told, proxiertest.ProblemTexts(problems)...)
				contest.Set(Subject{p.Key, p.UID}, wishes)
			}
			var got []string
			for _, p := range pods {
				told = append(told, proxiertest.ProblemTexts(LostHostPorts(p.Key, contest, NewClaims()))...)
				for _, c := range contest.bySubject[p.Key] {
					if contest.Owner(c.Key) == c {
						got = append(got, fmt.Sprintf("%s -> %s %s", c.Key, c.Value.Pod, c.Value.Owner))
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("host ports (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.told, told); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRenderHostPorts follows host ports from files to the table.
