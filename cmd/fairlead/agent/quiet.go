// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-logr/logr"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/klog/v2"

	"fairlead/internal/jsonerr"
)

// withoutUnreachable returns a context whose logger omits errors of requests without an
// answer, and lines of libraries that say no more. It puts into words of users what
// libraries say in words of Go.
func withoutUnreachable(ctx context.Context) context.Context {
	log := klog.FromContext(ctx)
	sink := log.GetSink()
	if deeper, ok := sink.(logr.CallDepthLogSink); ok {
		sink = deeper.WithCallDepth(1) // that of quietSink
	}
	return klog.NewContext(ctx, log.WithSink(&quietSink{sink}))
}

// quietSink omits errors that apiServer logs.
type quietSink struct{ logr.LogSink }

// detail is the verbosity of lines that libraries log at a lower one.
const detail = 2

// isDetail reports whether a line of client-go follows from a server that is away, which
// has a line already.
func isDetail(msg string) bool {
	return msg == "Warning: watch ended with error" || msg == "Unexpected EOF during watch stream event decoding"
}

// Info logs what is no detail.
func (q *quietSink) Info(level int, msg string, kv ...any) {
	if isDetail(msg) && !q.Enabled(detail) {
		return
	}
	q.LogSink.Info(level, msg, kv...)
}

// Error logs err unless apiServer did.
func (q *quietSink) Error(err error, msg string, kv ...any) {
	if u := (*unreachable)(nil); errors.As(err, &u) {
		return
	}
	values := make([]any, len(kv))
	for i, v := range kv {
		if e, ok := v.(*eventsv1.Event); ok {
			v = fmt.Sprintf("%s of %s %s", e.Reason, e.Regarding.Kind, e.Regarding.Name)
		}
		values[i] = v
	}
	q.LogSink.Error(plain(err), msg, values...)
}

// Words of Go in errors of client-go.
var (
	typeWords   = regexp.MustCompile(`json: cannot unmarshal (\S+) into Go (?:struct field \w+\.(\S+)|value) of type \S+`)
	schemeWords = regexp.MustCompile(` in scheme "[^"]*"`)
)

// plain puts an error about an answer of the API server, or about a kubeconfig, into words of
// users.
func plain(err error) error {
	if err == nil {
		return nil
	}
	if field, text, ok := jsonerr.Wrong(err); ok {
		return fmt.Errorf("field %s %s", field, text)
	}
	text := typeWords.ReplaceAllString(err.Error(), "field $2 is of the kind $1, which does not fit there")
	if text = schemeWords.ReplaceAllString(text, ""); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// WithName and WithValues keep the filter.
func (q *quietSink) WithName(name string) logr.LogSink { return &quietSink{q.LogSink.WithName(name)} }

// WithValues keeps the filter.
func (q *quietSink) WithValues(kv ...any) logr.LogSink {
	return &quietSink{q.LogSink.WithValues(kv...)}
}

// WithCallDepth passes the call depth on, so that lines name their caller.
func (q *quietSink) WithCallDepth(depth int) logr.LogSink {
	if s, ok := q.LogSink.(logr.CallDepthLogSink); ok {
		return &quietSink{s.WithCallDepth(depth)}
	}
	return q
}
