// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"fairlead/cmd/fairlead/inspect"
	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
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
	check(t, syscall.Mkfifo(filepath.Join(dir, "fairlead-c.log"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "other.log"), []byte("other\n"), 0o600))
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
	for name, want := range map[string]string{"fairlead-b_kube-system_fairlead-2.log": "no such file", "fairlead-c.log": "not a regular file"} {
		if l := byName[name]; !strings.Contains(l.Error, want) || len(l.Lines) > 0 {
			t.Errorf("%s: %+v, want %s", name, l, want)
		}
	}
	if len(logs) != 5 {
		t.Errorf("%d logs", len(logs))
	}
}

// TestPodLogs asks the API server where no file is, for the log before a restart, too.
func TestPodLogs(t *testing.T) {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "kube-system", Labels: map[string]string{"app.kubernetes.io/name": "fairlead"}}
	}
	restarted := &corev1.Pod{ObjectMeta: meta("a"), Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "fairlead", RestartCount: 2}}}}
	client := fake.NewClientset(restarted, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	l := &inspect.Live{
		LogDir: t.TempDir(), Config: view.Config{Table: resolve.Config{NodeName: "node-1"}},
		Client:   func(context.Context) (kubernetes.Interface, error) { return client, nil },
		AgentLog: func(context.Context) (*state.Log, error) { return nil, errors.New("no agent answers at x") },
	}
	logs, err := l.Node().Logs(t.Context())
	check(t, err)
	got := ""
	for _, log := range logs {
		got += fmt.Sprintf("%s: %s %q\n", strings.TrimPrefix(log.From, l.LogDir), strings.ReplaceAll(log.Error, l.LogDir, ""), log.Lines)
	}
	want := "agent: no agent answers at x []\n: /*fairlead*.log: file does not exist []\nPod kube-system/a:  [\"fake logs\"]\nPod kube-system/a before its last restart:  [\"fake logs\"]\n"
	if got != want {
		t.Errorf("the logs are\n%swant\n%s", got, want)
	}
	var selected string
	for _, a := range client.Actions() {
		if list, ok := a.(clienttesting.ListAction); ok {
			selected = list.GetListRestrictions().Fields.String()
		}
	}
	if selected != "spec.nodeName=node-1" {
		t.Errorf("the Pods of %q are listed", selected)
	}
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("pods is forbidden")
	})
	logs, err = l.Node().Logs(t.Context())
	check(t, err)
	if last := logs[len(logs)-1]; last.From != "API server" || !strings.Contains(last.Error, "forbidden") {
		t.Errorf("without the right to list pods: %+v", last)
	}
}
