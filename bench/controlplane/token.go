// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// issuer is what tokens say who made them, and whom they are for.
const issuer = "https://kubernetes.default.svc.cluster.local"

// Token asks the API server for a token of a service account, as the kubelet does
// for a pod.
func (p *Plane) Token(ctx context.Context, namespace, name string) (string, error) {
	r, err := p.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request token of %s/%s: %w", namespace, name, err)
	}
	return r.Status.Token, nil
}

// ExpiredToken signs a token that was valid until some minutes ago: what is left
// in the file of a pod whose kubelet was down for too long.
func (p *Plane) ExpiredToken(ctx context.Context, namespace, name string) (string, error) {
	sa, err := p.client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get service account %s/%s: %w", namespace, name, err)
	}
	key, err := keyutil.PrivateKeyFromFile(p.path("serviceaccounts.key"))
	if err != nil {
		return "", fmt.Errorf("read key of service accounts: %w", err)
	}
	sign, err := serviceaccount.JWTTokenGenerator(issuer, key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	const ago = 5 * time.Minute // go-jose forgives one minute
	of := core.ServiceAccount{ObjectMeta: sa.ObjectMeta}
	claims, private, err := serviceaccount.Claims(of, nil, nil, nil, -int64(ago/time.Second), 0, []string{issuer})
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return sign.GenerateToken(ctx, claims, private)
}
