// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import "strings"

// Ports on the host of the control plane. The API server is reached by agents
// through gates only; a gate listens on a port of its own.
const (
	etcdPort       = "2379"
	etcdPeerPort   = "2380"
	apiserverPort  = "6443"
	controllerPort = "10257"
)

func (p *Plane) etcdFlags() []string {
	client, peer := "http://127.0.0.1:"+etcdPort, "http://127.0.0.1:"+etcdPeerPort
	return []string{
		"--name=bench",
		"--data-dir=" + p.path("etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=bench=" + peer,
		"--unsafe-no-fsync", // the data is thrown away with the directory
		"--quota-backend-bytes=4294967296",
	}
}

func (p *Plane) apiserverFlags() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:" + etcdPort,
		"--bind-address=0.0.0.0", "--secure-port=" + apiserverPort,
		"--advertise-address=" + p.cfg.Host.Addr4.String(),
		"--tls-cert-file=" + p.path("apiserver.crt"), "--tls-private-key-file=" + p.path("apiserver.key"),
		"--client-ca-file=" + p.path("ca.crt"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + p.path("serviceaccounts.key.pub"),
		"--service-account-signing-key-file=" + p.path("serviceaccounts.key"),
		"--service-cluster-ip-range=" + join(p.cfg.ServiceCIDRs),
		// Logs of pods come from kubelets, which trust the administrator.
		"--kubelet-client-certificate=" + p.path("admin.crt"), "--kubelet-client-key=" + p.path("admin.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + p.path("audit-policy.yaml"),
		"--audit-log-path=" + p.path("audit.log"),
		"--allow-privileged", // as every cluster whose network comes from a DaemonSet
		"--profiling=false",
		"--shutdown-delay-duration=0s",
	}
}

// controllers are those whose work a network agent sees, and what they need.
const controllers = "endpointslice-controller,node-ipam-controller,namespace-controller," +
	"serviceaccount-controller,root-ca-certificate-publisher-controller,service-cidr-controller"

func (p *Plane) controllerFlags() []string {
	flags := []string{
		"--kubeconfig=" + p.path("admin.kubeconfig"),
		"--controllers=" + strings.Join(append([]string{controllers}, p.cfg.Controllers...), ","),
		"--leader-elect=false",
		"--bind-address=127.0.0.1", "--secure-port=" + controllerPort,
		"--tls-cert-file=" + p.path("apiserver.crt"), "--tls-private-key-file=" + p.path("apiserver.key"),
		"--allocate-node-cidrs", "--cluster-cidr=" + join(p.cfg.PodCIDRs),
		"--service-cluster-ip-range=" + join(p.cfg.ServiceCIDRs),
		"--root-ca-file=" + p.path("ca.crt"),
		"--service-account-private-key-file=" + p.path("serviceaccounts.key"),
		"--kube-api-qps=200", "--kube-api-burst=400", // a test waits for what others put up with
	}
	if len(p.cfg.PodCIDRs) == 1 { // else a size per family must be given, or none
		return flags
	}
	return append(flags, "--node-cidr-mask-size-ipv4=24", "--node-cidr-mask-size-ipv6=64")
}

// auditPolicy logs who asked for what, twice for a watch: when it begins and when
// it ends.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

func join[T interface{ String() string }](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, ",")
}
