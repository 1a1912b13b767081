// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authn "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/flowcontrol"
)

// How long answers of the API server count, as in kube-rbac-proxy or shorter. A user whose
// rights or token were withdrawn may go on for that long, also while the API server is
// away.
const (
	userTime  = time.Minute      // whose a token is
	noUser    = 10 * time.Second // that a token is nobody's
	allowTime = time.Minute
	denyTime  = 10 * time.Second
)

const (
	most     = 1024            // answers that are kept, and tokens that were once good
	patience = 5 * time.Second // for the API server
	atOnce   = 4               // questions of each kind of token
	rate     = 5               // questions about unknown tokens a second
	burst    = 20
	maxPath  = 256       // bytes
	goodTime = time.Hour // for which a token that was somebody's has the line of known ones
)

// Errors of a question that was not answered.
var (
	errBusy = errors.New("too many requests with unknown tokens")
	errAway = errors.New("the API server does not answer")
)

// Guard asks the API server about requests. Its methods are safe for concurrent use.
type Guard struct {
	client kubernetes.Interface

	users     *cache.LRUExpireCache // of user, by digest of the token
	answers   *cache.LRUExpireCache // of bool, by access
	good      *cache.LRUExpireCache // digests of tokens that were somebody's
	asking    singleflight.Group
	known     chan struct{} // holds a place for each question about a good token
	unknown   chan struct{}
	strangers flowcontrol.RateLimiter
}

// New returns a Guard that asks by client.
func New(client kubernetes.Interface) *Guard {
	return &Guard{
		client: client, users: cache.NewLRUExpireCache(most), answers: cache.NewLRUExpireCache(most), good: cache.NewLRUExpireCache(most),
		known: make(chan struct{}, atOnce), unknown: make(chan struct{}, atOnce),
		strangers: flowcontrol.NewTokenBucketRateLimiter(rate, burst),
	}
}

type digest [sha256.Size]byte

// user is whose a token is.
type user struct {
	known bool
	info  authn.UserInfo
}

// access is a question.
type access struct {
	token        digest
	method, path string
}

// Handler returns h for those who may.
func (g *Guard) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code, text := g.check(r); code != http.StatusOK {
			if code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="fairlead"`)
			}
			http.Error(w, text, code)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// check returns 200, or another status and the reason.
func (g *Guard) check(r *http.Request) (code int, reason string) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	switch {
	case !strings.EqualFold(kind, "Bearer") || token == "":
		return http.StatusUnauthorized, "send a bearer token of the cluster"
	case len(r.URL.Path) > maxPath:
		return http.StatusRequestURITooLong, "the path is too long"
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	key := digest(sha256.Sum256([]byte(token)))
	u, err := g.userOf(ctx, key, token)
	if err != nil {
		return refusal(err)
	}
	if !u.known {
		return http.StatusUnauthorized, "the API server does not know this token"
	}
	may, err := g.may(ctx, access{key, verb(r.Method), r.URL.Path}, &u.info)
	switch {
	case err != nil:
		return refusal(err)
	case !may:
		return http.StatusForbidden, fmt.Sprintf("%s may not %s the URL %s: a ClusterRole with nonResourceURLs grants it", u.info.Username, verb(r.Method), r.URL.Path)
	}
	return http.StatusOK, ""
}

func refusal(err error) (code int, reason string) {
	if errors.Is(err, errBusy) {
		return http.StatusTooManyRequests, err.Error()
	}
	return http.StatusServiceUnavailable, err.Error()
}

// verb returns the word of RBAC for a method.
func verb(method string) string { return strings.ToLower(method) }
