// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"fairlead/cmd/fairlead/state"
	"fairlead/cmd/fairlead/view"
	"fairlead/internal/tail"
)

// Where logs of agents are, and how many are read.
const (
	containerLogs  = "/var/log/containers"            // of the kubelet, named POD_NAMESPACE_CONTAINER-ID.log
	logPattern     = "*_" + agentContainer + "-*.log" // Pods of others may have the name in theirs
	maxLogs        = 8
	agentSelector  = "app.kubernetes.io/name=fairlead" // as the chart labels the pods
	agentContainer = "fairlead"
	podLogLines    = 2000     // that are asked for
	maxPodLog      = 64 << 20 // bytes that are read of these
)

// Logs asks the agent for the end of its log. It reads the kubelet's files of this node,
// which have the log of a container that has ended, too. Without such files it asks the
// API server.
func (l *live) Logs(ctx context.Context) ([]view.Log, error) {
	out := []view.Log{l.agentLog(ctx)}
	dir := cmp.Or(l.LogDir, containerLogs)
	files, err := logFiles(dir)
	out = append(out, files...)
	if len(files) > 0 {
		return out, nil
	}
	if err != nil {
		out = append(out, view.Log{From: dir, Error: err.Error()})
	}
	pods, err := l.podLogs(ctx)
	if err != nil {
		out = append(out, view.Log{From: "API server", Error: err.Error()})
	}
	return append(out, pods...), ctx.Err()
}

func (l *live) agentLog(ctx context.Context) view.Log {
	out := view.Log{From: "agent"}
	if l.AgentLog == nil {
		out.Error = "no way to ask the agent is known"
		return out
	}
	answer, err := l.AgentLog(ctx)
	switch {
	case err != nil:
		out.Error = err.Error()
	case answer.Protocol != state.Protocol:
		out.Error = fmt.Sprintf("the agent speaks %q and this command %q", answer.Protocol, state.Protocol)
	default:
		out.Lines, out.Cut = answer.Lines, answer.Cut
	}
	return out
}

// logFiles returns the ends of the last logs in a directory of the kubelet. A file that
// cannot be read has an error.
func logFiles(dir string) ([]view.Log, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, err //nolint:wrapcheck // it names the directory
	}
	names, err := filepath.Glob(filepath.Join(dir, logPattern))
	if err != nil {
		return nil, err //nolint:wrapcheck // the pattern is constant
	}
	times := map[string]int64{}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			times[name] = info.ModTime().UnixNano()
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(times[b], times[a]) })
	var out []view.Log
	for _, name := range names[:min(len(names), maxLogs)] {
		log := view.Log{From: name}
		if log.Lines, log.Cut, err = readEnd(name); err != nil {
			log.Error = err.Error()
		}
		out = append(out, log)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, logPattern), fs.ErrNotExist)
	}
	return out, nil
}

// readEnd reads the end of a regular file.
func readEnd(name string) (lines []string, cut bool, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // it names the file
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = f.Close() }()
	return tail.Read(f, info.Size())
}

// podLogs asks the API server for the logs of the agents on this node: the present one
// and, after a restart, the one before.
func (l *live) podLogs(ctx context.Context) ([]view.Log, error) {
	client, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, errors.New("the API server is no source with these flags")
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	node := l.Live.Config.Table.NodeName
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: agentSelector, FieldSelector: "spec.nodeName=" + node, Limit: maxLogs})
	if err != nil {
		return nil, fmt.Errorf("list the agent's Pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return nil, fmt.Errorf("no Pod on node %s has the label %s", node, agentSelector)
	}
	var out []view.Log
	for i := range pods.Items {
		pod := &pods.Items[i]
		out = append(out, podLog(ctx, client, pod, false))
		if slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == agentContainer && c.RestartCount > 0 }) {
			out = append(out, podLog(ctx, client, pod, true))
		}
	}
	return out, nil
}

func podLog(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, previous bool) view.Log {
	out := view.Log{From: fmt.Sprintf("Pod %s/%s", pod.Namespace, pod.Name)}
	if previous {
		out.From += " before its last restart"
	}
	lines := int64(podLogLines) // LimitBytes would keep the first ones of these
	stream, err := client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: agentContainer, Previous: previous, TailLines: &lines}).Stream(ctx)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	defer func() { _ = stream.Close() }()
	var end tail.Log
	if _, err := io.Copy(&end, io.LimitReader(stream, maxPodLog)); err != nil {
		out.Error = err.Error()
	}
	out.Lines, out.Cut = end.Lines()
	return out
}
