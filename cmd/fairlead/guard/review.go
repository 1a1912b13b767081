// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"

	authn "k8s.io/api/authentication/v1"
	authz "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// userOf says whose a token is.
func (g *Guard) userOf(ctx context.Context, key digest, token string) (user, error) {
	if kept, ok := g.users.Get(key); ok {
		u, _ := kept.(user)
		return u, nil
	}
	v, err := g.ask(ctx, "token "+string(key[:]), key, func(ctx context.Context) (any, error) {
		review := &authn.TokenReview{Spec: authn.TokenReviewSpec{Token: token}}
		got, err := g.client.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("review a token: %w", err)
		}
		u := user{got.Status.Authenticated, got.Status.User}
		if !u.known {
			g.good.Remove(key)
			g.users.Add(key, user{}, noUser)
			return user{}, nil
		}
		g.users.Add(key, u, userTime)
		g.good.Add(key, true, goodTime)
		return u, nil
	})
	u, _ := v.(user)
	return u, err
}

// may says whether a user has a right.
func (g *Guard) may(ctx context.Context, a access, u *authn.UserInfo) (bool, error) {
	if kept, ok := g.answers.Get(a); ok {
		may, _ := kept.(bool)
		return may, nil
	}
	v, err := g.ask(ctx, "access "+string(a.token[:])+a.method+a.path, a.token, func(ctx context.Context) (any, error) {
		extra := map[string]authz.ExtraValue{}
		for k, v := range u.Extra {
			extra[k] = authz.ExtraValue(v)
		}
		review := &authz.SubjectAccessReview{Spec: authz.SubjectAccessReviewSpec{
			User: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra,
			NonResourceAttributes: &authz.NonResourceAttributes{Path: a.path, Verb: a.method},
		}}
		got, err := g.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("review an access: %w", err)
		}
		if got.Status.Allowed {
			g.answers.Add(a, true, allowTime)
		} else {
			g.answers.Add(a, false, denyTime)
		}
		return got.Status.Allowed, nil
	})
	may, _ := v.(bool)
	return may, err
}

// ask runs a question once for all who ask it at the same time. Questions about tokens
// that nobody has known wait in a line of their own.
func (g *Guard) ask(ctx context.Context, name string, key digest, question func(context.Context) (any, error)) (any, error) {
	line := g.known
	if _, ok := g.good.Get(key); !ok {
		line = g.unknown
		if !g.strangers.TryAccept() {
			return nil, errBusy
		}
	}
	done := g.asking.DoChan(name, func() (any, error) {
		// Others may wait for the answer when the first who asked has gone.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		select {
		case line <- struct{}{}:
			defer func() { <-line }()
		case <-ctx.Done():
			return nil, errAway
		}
		v, err := question(ctx)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("The API server did not answer a question about a request", "err", err)
			return nil, errAway
		}
		return v, nil
	})
	select {
	case r := <-done:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, errAway
	}
}
