// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/nstest"
	"fairlead/internal/tail"
	"fairlead/proxier/resolve"
)

// TestLogFiles reads the kubelet's files: the newest first, the end of each, and of a
// file that cannot be read why.
func TestLogFiles(t *testing.T) {
	dir, pods := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(pods, "0.log"), []byte("old\n"), 0o600))
	check(t, os.Chtimes(filepath.Join(pods, "0.log"), time.Unix(1, 0), time.Unix(1, 0)))
	check(t, os.WriteFile(filepath.Join(pods, "1.log"), []byte(strings.Repeat("x", 3*tail.MaxBytes)+"\nnew\n"), 0o600))
	check(t, os.Symlink(filepath.Join(pods, "0.log"), filepath.Join(dir, "fairlead-a_kube-system_fairlead-0.log")))
	check(t, os.Symlink(filepath.Join(pods, "1.log"), filepath.Join(dir, "fairlead-a_kube-system_fairlead-1.log")))
	check(t, os.Symlink("/nonexistent", filepath.Join(dir, "fairlead-b_kube-system_fairlead-2.log")))
	check(t, syscall.Mkfifo(filepath.Join(dir, "fairlead-c_kube-system_fairlead-3.log"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "other.log"), []byte("other\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "fairlead-client_tenant_app-4.log"), []byte("of a tenant\n"), 0o600))
	logs, err := (&inspect.Live{LogDir: dir}).Node().Logs(t.Context())
	check(t, err)
	byName := map[string]view.Log{}
	for _, l := range logs {
		byName[filepath.Base(l.From)] = l
	}
	if l := byName["agent"]; !strings.Contains(l.Error, "no way to ask") {
		t.Errorf("the agent: %+v", l)
	}
	if l := byName["fairlead-a_kube-system_fairlead-1.log"]; fmt.Sprint(l.Lines) != "[new]" || !l.Cut {
		t.Errorf("the new log: cut %v, %.100q", l.Cut, l.Lines)
	}
	if l := byName["fairlead-a_kube-system_fairlead-0.log"]; fmt.Sprint(l.Lines) != "[old]" || l.Cut {
		t.Errorf("the old log: %+v", l)
	}
	for name, want := range map[string]string{"fairlead-b_kube-system_fairlead-2.log": "no such file", "fairlead-c_kube-system_fairlead-3.log": "not a regular file"} {
		if l := byName[name]; !strings.Contains(l.Error, want) || len(l.Lines) > 0 {
			t.Errorf("%s: %+v, want %s", name, l, want)
		}
	}
	if len(logs) != 5 {
		t.Errorf("%d logs", len(logs))
	}
}

// logServer answers as an API server does: lists of Pods by label and field, logs as text
// of at most so many bytes, and errors as a Status.
func logServer(t *testing.T) kubernetes.Interface {
	t.Helper()
	pod := func(name, node string, restarts int) string {
		return fmt.Sprintf(`{"metadata": {"name": %q, "namespace": "kube-system"}, "spec": {"nodeName": %q}, "status": {"containerStatuses": [{"name": "istio-proxy", "restartCount": 9}, {"name": "fairlead", "restartCount": %d}]}}`, name, node, restarts)
	}
	logs := map[string]string{
		"a?": "first\nsecond\n", "a?previous": "panic: x\n", "long?": strings.Repeat(strings.Repeat("x", 1023)+"\n", 3*tail.MaxBytes>>10) + "end\n",
	}
	refuse := func(w http.ResponseWriter, code int, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": %q, "code": %d}`, message, code)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		name, isLog := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/kube-system/pods/"), "/log")
		switch {
		case r.URL.Path == "/api/v1/pods":
			if q.Get("labelSelector") != "app.kubernetes.io/name=fairlead" {
				refuse(w, http.StatusBadRequest, "all pods are listed")
				return
			}
			items := map[string]string{
				"spec.nodeName=node-1": strings.Join([]string{pod("a", "node-1", 2), pod("waits", "node-1", 1), pod("long", "node-1", 0)}, ","),
				"spec.nodeName=node-2": "",
			}
			list, ok := items[q.Get("fieldSelector")]
			if !ok {
				refuse(w, http.StatusForbidden, "pods is forbidden")
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [%s]}`, list)
		case isLog && q.Get("container") == "fairlead":
			key := name + "?"
			if q.Get("previous") == "true" {
				key += "previous"
			}
			text, ok := logs[key]
			if !ok {
				refuse(w, http.StatusBadRequest, `container "fairlead" in pod "waits" is waiting to start: ContainerCreating`)
				return
			}
			lines := strings.SplitAfter(text, "\n")
			n, _ := strconv.Atoi(q.Get("tailLines"))
			text = strings.Join(lines[max(0, len(lines)-1-n):], "")
			if limit, err := strconv.Atoi(q.Get("limitBytes")); err == nil {
				text = text[:min(limit, len(text))] // the first bytes of the last lines
			}
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, text)
		default:
			refuse(w, http.StatusNotFound, r.URL.String()+" is not known")
		}
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	check(t, err)
	return client
}

// TestPodLogs asks the API server where no file is, for the log before a restart, too. A log
// that it does not have is an error in its place.
func TestPodLogs(t *testing.T) {
	nstest.Need(t) // it listens on 127.0.0.1 of its own namespace
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
	client := logServer(t)
	for node, want := range map[string]string{
		"node-1": `Pod kube-system/a:  ["first" "second"]
Pod kube-system/a before its last restart:  ["panic: x"]
Pod kube-system/waits: container "fairlead" in pod "waits" is waiting to start: ContainerCreating []
Pod kube-system/waits before its last restart: container "fairlead" in pod "waits" is waiting to start: ContainerCreating []
Pod kube-system/long:  ["xxx" "end"]
`,
		"node-2": "API server: no Pod on node node-2 has the label app.kubernetes.io/name=fairlead []\n",
		"node-3": "API server: list the agent's Pods: pods is forbidden []\n",
	} {
		l := &inspect.Live{
			LogDir: t.TempDir(), Config: view.Config{Table: resolve.Config{NodeName: node}},
			Client:   func(context.Context) (kubernetes.Interface, error) { return client, nil },
			AgentLog: func(context.Context) (*state.Log, error) { return nil, errors.New("no agent answers at x") },
		}
		logs, err := l.Node().Logs(t.Context())
		check(t, err)
		got := ""
		for _, log := range logs {
			size := 0
			for i, line := range log.Lines {
				size += len(line) + 1
				log.Lines[i] = strings.ReplaceAll(line, strings.Repeat("x", 1023), "xxx")
			}
			if size > tail.MaxBytes {
				t.Errorf("%s has %d bytes", log.From, size)
			}
			got += fmt.Sprintf("%s: %s %q\n", strings.TrimPrefix(log.From, l.LogDir), strings.ReplaceAll(log.Error, l.LogDir, ""), slices.Compact(log.Lines))
		}
		if want = "agent: no agent answers at x []\n: /*_fairlead-*.log: file does not exist []\n" + want; got != want {
			t.Errorf("the logs of %s are\n%swant\n%s", node, got, want)
		}
	}
}
