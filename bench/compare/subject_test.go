// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"fairlead/internal/lab"
)

// subject is a program that is measured.
type subject struct {
	name    string
	command func(b *bench, node *lab.Node, kubeconfig string) (*exec.Cmd, error)
}

func fairlead(t *testing.T) subject {
	path := binary(t, "fairlead")
	return subject{"fairlead", func(_ *bench, node *lab.Node, kubeconfig string) (*exec.Cmd, error) {
		return exec.Command(path, "run", "--kubeconfig", kubeconfig, "--node-name", node.Name, "--cluster-cidr", podNet.String()), nil
	}}
}

// proxyConfig is kube-proxy's default but for the mode, and for what it may not
// do in a user namespace.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: %s
hostnameOverride: %s
nodePortAddresses: [primary]
oomScoreAdj: 0
clientConnection:
  kubeconfig: %s
  contentType: application/vnd.kubernetes.protobuf
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`

func kubeProxy() subject {
	return subject{"kube-proxy v1.36.3", func(b *bench, node *lab.Node, kubeconfig string) (*exec.Cmd, error) {
		path := filepath.Join(b.dir, "kube-proxy.yaml")
		text := fmt.Sprintf(proxyConfig, podNet, node.Name, kubeconfig)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return exec.Command(filepath.Join("..", "..", "bin", "controlplane"), "kube-proxy", "--config", path), nil
	}}
}
