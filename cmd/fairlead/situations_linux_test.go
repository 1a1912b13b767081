// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/nstest"
)

// situations are all of them, the one without an agent first. The Service web of the lab
// works throughout; the broken ones are called shop.
func situations() []situation {
	list := []situation{{
		symptom: "No Service answers on a node", dead: true, args: "explain default/web", want: "[no-table]",
		client: "pod", dial: "10.96.0.10:80", outcome: "timeout",
	}, {
		symptom: "The name of the Service is wrong", args: "explain default/wbe", want: "did you mean default/web?",
	}, {
		symptom: "A client uses a port that the Service does not have", args: "explain 10.96.0.10:8080", want: "[other-port]",
		client: "pod", dial: "10.96.0.10:8080", outcome: "refused",
	}}
	return append(append(append(list, withoutEndpoints()...), notServed()...), append(append(policies(), elsewhere()...), repairs()...)...)
}

// service returns a Service shop with the given metadata and spec.
func service(meta, spec string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: default%s}\nspec: {%s}\n", meta, spec)
}

// slice returns an EndpointSlice of shop.
func slice(family, port, endpoints string) string {
	return fmt.Sprintf("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: shop-1, namespace: default, labels: {kubernetes.io/service-name: shop}}\naddressType: %s\nports: [%s]\nendpoints: [%s]\n", family, port, endpoints)
}

// pod returns a Pod of shop.
func pod(labels, status string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: shop-0, namespace: default, labels: {%s}}\nspec: {nodeName: node-1}\nstatus: {%s}\n", labels, status)
}

const (
	plain    = "clusterIP: 10.96.0.20, selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]"
	httpPort = "{name: http, port: 8080}"
	// here and there are the pods behind web, which answer.
	here, there = "{addresses: [10.244.1.3], nodeName: node-1, conditions: {ready: true}}", "{addresses: [10.244.2.2], nodeName: node-2, conditions: {ready: true}}"
)

// withoutEndpoints are Services that reject connections.
func withoutEndpoints() []situation {
	refused := func(symptom, objects, want string) situation {
		return situation{symptom: symptom, objects: objects, args: "explain default/shop", want: want, client: "pod", dial: "10.96.0.20:80", outcome: "refused"}
	}
	return []situation{
		refused("Connections are refused: the selector matches no pod", service("", plain)+slice("IPv4", httpPort, "")+pod("app: shopp", "phase: Running"), "[no-pods]"),
		refused("Connections are refused: the pods do not start", service("", plain)+slice("IPv4", httpPort, "")+
			pod("app: shop", "phase: Pending, containerStatuses: [{name: shop, state: {waiting: {reason: ImagePullBackOff}}}]"), "(ImagePullBackOff). [pods-not-ready]"),
		refused("Connections are refused: readiness probes fail", service("", plain)+
			slice("IPv4", httpPort, "{addresses: [10.244.1.3], nodeName: node-1, conditions: {ready: false}, targetRef: {kind: Pod, name: shop-0}}"), "10.244.1.3:8080 (pod shop-0 on node-1). [not-ready]"),
		refused("Connections are refused: no EndpointSlice was written", service("", plain)+pod("app: shop", `phase: Running, conditions: [{type: Ready, status: "True"}]`), "[no-slices]"),
		refused("Connections are refused: neither selector nor EndpointSlice", service("", strings.Replace(plain, "selector: {app: shop}, ", "", 1)), "no selector and no EndpointSlice. [no-slices]"),
		refused("Connections are refused: the names of the ports differ", service("", plain)+slice("IPv4", "{name: web, port: 8080}", here), "[port-name]"),
		refused("Connections are refused: no container has the named targetPort", service("", strings.Replace(plain, "8080", "http-alt", 1))+slice("IPv4", "", here), "[target-port]"),
		refused("Connections are refused: the pods have addresses of the other family", service("", plain)+
			slice("IPv6", httpPort, `{addresses: ["fd00:10:244::3"], nodeName: node-1, conditions: {ready: true}}`), "[other-family]"),
		refused("Connections are refused: an address of the EndpointSlice is invalid", service("", plain)+
			slice("IPv4", httpPort, "{addresses: [169.254.1.1], nodeName: node-1}"), "[refused]"),
	}
}

// notServed are Services that get no address, or not all that they ask for.
func notServed() []situation {
	return []situation{{
		symptom: "The Service belongs to another proxy", args: "explain default/shop", want: "[other-proxy]",
		objects: service(", labels: {service.kubernetes.io/service-proxy-name: mesh}", plain) + slice("IPv4", httpPort, here),
		client:  "pod", dial: "10.96.0.20:80", outcome: "timeout",
	}, {
		symptom: "The Service is headless", args: "explain default/shop", want: "[headless]",
		objects: service("", strings.Replace(plain, "10.96.0.20", "None", 1)),
	}, {
		symptom: "The Service is a name for another one", args: "explain default/shop", want: "[external-name]",
		objects: service("", "type: ExternalName, externalName: shop.example.org"),
	}, {
		symptom: "Two Services ask for one address", args: "explain default/shop", want: "[lost-claim]",
		objects: service("", plain+", externalIPs: [10.96.0.10]") + slice("IPv4", "{name: http, port: 8081}", here),
		client:  "pod", dial: "10.96.0.20:80", outcome: "refused", // nothing listens on 8081
	}, {
		symptom: "An external IP is an address of pods", args: "explain default/shop", want: "10.244.9.9 is in a range of pods; it is not served",
		objects: service("", plain+", externalIPs: [10.244.9.9]") + slice("IPv4", httpPort, here),
		client:  "pod", dial: "10.244.9.9:80", outcome: "timeout",
	}}
}

// policies are Services whose policies keep clients or endpoints away.
func policies() []situation {
	return []situation{{
		symptom: "Pods of one node get no answer: internalTrafficPolicy Local", args: "explain default/shop", want: "[internal-local]",
		objects: service("", plain+", internalTrafficPolicy: Local") + slice("IPv4", httpPort, there),
		client:  "pod", dial: "10.96.0.20:80", outcome: "timeout",
	}, {
		symptom: "Clients outside get no answer: externalTrafficPolicy Local", args: "explain default/shop", want: "[external-local]",
		objects: service("", "type: NodePort, externalTrafficPolicy: Local, "+strings.Replace(plain, "port: 80,", "port: 80, nodePort: 30090,", 1)) + slice("IPv4", httpPort, there),
		client:  "outside", dial: "192.168.50.1:30090", outcome: "timeout",
	}, {
		symptom: "Clients outside get no answer: loadBalancerSourceRanges", args: "explain default/shop", want: "[source-ranges]",
		objects: strings.TrimSuffix(service("", "type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24], "+plain), "\n") +
			"\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}\n" + slice("IPv4", httpPort, here),
		client: "pod", dial: "203.0.113.7:80", outcome: "timeout",
	}, {
		symptom: "Connections leave the zone in spite of topology hints", args: "explain default/shop", want: "no endpoint is hinted for this node or zone. [no-hints]",
		objects: service("", plain) + slice("IPv4", httpPort, strings.TrimSuffix(here, "}")+", hints: {forNodes: [{name: node-2}]}}"),
	}, {
		symptom: "An endpoint gets no connections: topology hints", args: "get endpoints default/shop", want: "other-node: its topology hints keep it for node node-2",
		objects: service("", plain) + slice("IPv4", httpPort, strings.TrimSuffix(here, "}")+", hints: {forNodes: [{name: node-1}]}}, "+
			strings.TrimSuffix(there, "}")+", hints: {forNodes: [{name: node-2}]}}"),
	}}
}

// repairs are what a running agent repairs at once.
func repairs() []situation {
	shop := service("", plain) + slice("IPv4", httpPort, here+", "+there)
	web := func(symptom, want string, breakIt func(*testing.T, *world.World)) situation {
		return situation{symptom: symptom, dead: true, objects: shop, args: "explain default/web", want: want, breakIt: breakIt, client: "pod", dial: "10.96.0.10:80", outcome: "timeout"}
	}
	stray := web("Another program took an address from the table", "vips4 { 10.96.0.10 . tcp . 80 }: have 10.96.0.10 . tcp . 80 : accept, want ", func(t *testing.T, w *world.World) {
		t.Helper()
		nftOn(t, w, "delete element inet fairlead vips4 { 10.96.0.10 . tcp . 80 }")
		nftOn(t, w, "add element inet fairlead vips4 { 10.96.0.10 . tcp . 80 : accept }")
	})
	stray.mend = func(t *testing.T, w *world.World) {
		t.Helper()
		nftOn(t, w, "delete element inet fairlead vips4 { 10.96.0.10 . tcp . 80 }")
		nftOn(t, w, "add element inet fairlead vips4 { 10.96.0.10 . tcp . 80 comment \"default/web:hello\" : goto cluster4-2 }")
	}
	return []situation{
		stray,
		web("Another program changed the table, and the agent does not run", "[differs]", func(t *testing.T, w *world.World) {
			t.Helper()
			nftOn(t, w, "insert rule inet fairlead services ip saddr 10.244.0.0/16 drop")
		}),
		web("Some connections time out: the tunnel does not know the other node", "has no entry for the node behind", func(t *testing.T, w *world.World) {
			t.Helper()
			nftOn(t, w, "delete rule inet fairlead services handle "+firstHandle(t, w))
			flushFDB(t, w)
		}),
		web("Some connections time out: another program turned the tunnel off", "the overlay has no route to the pods of node-2", func(t *testing.T, w *world.World) {
			t.Helper()
			if err := w.Cluster.Nodes[0].Netlink().LinkSetDown(linkOf(t, w, "fairlead.1")); err != nil {
				t.Fatal(err)
			}
		}),
		web("Connections of pods time out: the kernel does not forward", "net/ipv4/ip_forward is 0", func(t *testing.T, w *world.World) {
			t.Helper()
			if err := w.Cluster.Nodes[0].Sysctl("ipv4/ip_forward", "0"); err != nil {
				t.Fatal(err)
			}
		}),
	}
}

func nftOn(t *testing.T, w *world.World, command string) string {
	t.Helper()
	out, err := nstest.Command(t, w.Cluster.Nodes[0].NS, "nft", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// firstHandle returns the handle of the first rule of chain services.
func firstHandle(t *testing.T, w *world.World) string {
	t.Helper()
	m := regexp.MustCompile(`# handle (\d+)\n`).FindAllStringSubmatch(nftOn(t, w, "-a list chain inet fairlead services"), 2)
	if len(m) < 2 { // the first one is of the chain
		t.Fatal("chain services has no rule")
	}
	return m[1][1]
}

func linkOf(t *testing.T, w *world.World, name string) netlink.Link {
	t.Helper()
	link, err := w.Cluster.Nodes[0].Netlink().LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// flushFDB makes the tunnel forget all nodes.
func flushFDB(t *testing.T, w *world.World) {
	t.Helper()
	handle := w.Cluster.Nodes[0].Netlink()
	list, err := handle.NeighList(linkOf(t, w, "fairlead.1").Attrs().Index, unix.AF_BRIDGE)
	for i := range list {
		err = errors.Join(err, handle.NeighDel(&list[i]))
	}
	if err != nil || len(list) == 0 {
		t.Fatalf("delete %d entries of the forwarding database: %v", len(list), err)
	}
}
