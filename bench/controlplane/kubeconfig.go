// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// clientCert are the credentials of a user with path.crt and path.key.
func clientCert(path string) *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{ClientCertificate: path + ".crt", ClientKey: path + ".key"}
}

// TokenFile are the credentials of whoever the token in a file belongs to. The
// file is read again from time to time, as that of a pod is.
func TokenFile(path string) *clientcmdapi.AuthInfo { return &clientcmdapi.AuthInfo{TokenFile: path} }

// AdminAuth are the credentials of the administrator.
func (p *Plane) AdminAuth() *clientcmdapi.AuthInfo { return clientCert(p.path("admin")) }

// Kubeconfig writes dir/name for a client that reaches the API server at a URL
// such as that of a gate, and returns its path.
func (p *Plane) Kubeconfig(name, url string, who *clientcmdapi.AuthInfo) (string, error) {
	return p.path(name), p.writeKubeconfig(name, url, who)
}

func (p *Plane) writeKubeconfig(name, url string, who *clientcmdapi.AuthInfo) error {
	const only = "bench"
	c := clientcmdapi.NewConfig()
	c.Clusters[only] = &clientcmdapi.Cluster{Server: url, CertificateAuthority: p.path("ca.crt")}
	c.AuthInfos[only] = who
	c.Contexts[only] = &clientcmdapi.Context{Cluster: only, AuthInfo: only}
	c.CurrentContext = only
	if err := clientcmd.WriteToFile(*c, p.path(name)); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// get asks a program of the control plane for a path, and wants it to be well.
func get(ctx context.Context, cfg *rest.Config, path string) error {
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Host+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", path, resp.Status)
	}
	return nil
}
