// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead/internal/lab"
)

// Config says where a control plane runs and what it hands out.
type Config struct {
	Host         *lab.Host      // whose namespace the programs run in
	Binary       string         // bench/cmd/controlplane, built
	Dir          string         // for data, keys and logs; must exist
	PodCIDRs     []netip.Prefix // of the cluster, one per family
	ServiceCIDRs []netip.Prefix // one per family
	Controllers  []string       // of kube-controller-manager, besides those that every network agent needs
}

// Plane is a running control plane.
type Plane struct {
	cfg    Config
	ca     *authority
	client *kubernetes.Clientset

	etcd, apiserver, controller *program
}

// ReadyTimeout is how long a program may take to become ready. On an idle
// machine it is some seconds.
const ReadyTimeout = 3 * time.Minute

// Start makes the keys, starts etcd and the API server and returns when they are
// ready. They end with the host.
func Start(ctx context.Context, cfg Config) (*Plane, error) {
	p := &Plane{cfg: cfg}
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	p.etcd = p.program("etcd", p.etcdFlags())
	p.apiserver = p.program("kube-apiserver", p.apiserverFlags())
	p.controller = p.program("kube-controller-manager", p.controllerFlags())
	if err := p.etcd.start(); err != nil {
		return nil, err
	}
	return p, p.StartAPIServer(ctx)
}

// prepare writes keys, certificates, the audit policy and the kubeconfig of the
// administrator.
func (p *Plane) prepare() (err error) {
	if p.ca, err = newAuthority(p.cfg.Dir); err != nil {
		return err
	}
	if _, err := writeKey(p.path("serviceaccounts.key")); err != nil {
		return err
	}
	if err := errors.Join(
		p.ca.serve("apiserver", p.cfg.Host.Addr4, netip.MustParseAddr("127.0.0.1")),
		p.ca.client("admin", "admin", "system:masters"),
		os.WriteFile(p.path("audit-policy.yaml"), []byte(auditPolicy), 0o600),
	); err != nil {
		return err
	}
	local := "https://127.0.0.1:" + apiserverPort
	if err := p.writeKubeconfig("admin.kubeconfig", local, clientCert(p.path("admin"))); err != nil {
		return err
	}
	p.client, err = kubernetes.NewForConfig(p.Admin())
	return err
}

// Admin is how this process, from whatever namespace it is in, reaches the API
// server as its administrator.
func (p *Plane) Admin() *rest.Config {
	return &rest.Config{
		Host: "https://127.0.0.1:" + apiserverPort,
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: p.path("ca.crt"), CertFile: p.path("admin.crt"), KeyFile: p.path("admin.key"),
		},
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
		QPS: -1, // no limit
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return p.dial(ctx, addr)
		},
	}
}

// URL is where other hosts reach the API server, past all gates.
func (p *Plane) URL() string { return "https://" + p.cfg.Host.Addr4.String() + ":" + apiserverPort }

// CAFile is the certificate of the authority that signed all others.
func (p *Plane) CAFile() string { return p.path("ca.crt") }

// ServingCertificate has the authority sign a certificate for a server at addresses, and
// returns the path of its files without the endings .crt and .key.
func (p *Plane) ServingCertificate(name string, addrs ...netip.Addr) (string, error) {
	return p.path(name), p.ca.serve(name, addrs...)
}

// Client is the administrator's.
func (p *Plane) Client() kubernetes.Interface { return p.client }

// dial connects from inside the namespace of the control plane.
func (p *Plane) dial(ctx context.Context, addr string) (conn net.Conn, err error) {
	err = p.cfg.Host.NS.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	return conn, err
}

func (p *Plane) path(name string) string { return filepath.Join(p.cfg.Dir, name) }
