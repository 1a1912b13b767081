// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"

	"github.com/spf13/pflag"
)

// Secure says where metrics are served with TLS, to those whom the API server permits.
type Secure struct {
	Addr string // "" is none
	// CertFile and KeyFile hold the certificate. Without them the agent makes one.
	CertFile, KeyFile string
}

func (f *Secure) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Addr, "secure-metrics-bind-address", "", "address and port of what --metrics-bind-address serves, with TLS, for clients that send a bearer token whose user the API server permits to get the path, for example :10250; empty for none")
	fs.StringVar(&f.CertFile, "secure-metrics-cert-file", "", "file of the certificate for --secure-metrics-bind-address, read again when it changes; default is one that the agent signs itself")
	fs.StringVar(&f.KeyFile, "secure-metrics-key-file", "", "file of the private key to --secure-metrics-cert-file")
}

// validate takes whether the agent has an API server.
func (f *Secure) validate(api bool) error {
	var effect error
	switch {
	case f.Addr == "" && f.CertFile != "":
		effect = errors.New("--secure-metrics-cert-file: has no effect without --secure-metrics-bind-address")
	case f.Addr == "" && f.KeyFile != "":
		effect = errors.New("--secure-metrics-key-file: has no effect without --secure-metrics-bind-address")
	case (f.CertFile == "") != (f.KeyFile == ""):
		effect = errors.New("--secure-metrics-cert-file and --secure-metrics-key-file: set both or none")
	case f.Addr != "" && !api:
		effect = errors.New("--secure-metrics-bind-address: needs an API server that says who may read: set --kubeconfig, or leave out --manifests")
	}
	return errors.Join(effect, listenAddress("--secure-metrics-bind-address", f.Addr),
		existing("--secure-metrics-cert-file", f.CertFile), existing("--secure-metrics-key-file", f.KeyFile))
}
