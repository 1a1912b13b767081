// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"fairlead/cmd/fairlead/ask"
	"fairlead/cmd/fairlead/state"
)

// Names of the ports of the agent's container that serve its state.
const (
	portPlain = "metrics"
	portTLS   = "https-metrics"
)

// kept is the number of problems of each agent that are kept.
const kept = 10

// ask returns the state of the agent in a pod, without the lists that only a page of one
// agent shows.
func (f *Fleet) ask(ctx context.Context, pod *corev1.Pod) (*state.State, error) {
	if pod.Status.Phase != corev1.PodRunning {
		return nil, fmt.Errorf("its pod %s is %s", pod.Name, pod.Status.Phase)
	}
	port, secure := portOf(pod)
	if port == 0 {
		return nil, fmt.Errorf("its pod %s has no port metrics or https-metrics: set metrics.listen in the chart", pod.Name)
	}
	var s state.State
	var err error
	if f.opts.Direct {
		err = f.askDirect(ctx, pod, port, secure, &s)
	} else {
		err = f.askProxy(ctx, pod, port, secure, &s)
	}
	if err != nil {
		return nil, err
	}
	if err := ask.CheckProtocol(&s); err != nil {
		return nil, err
	}
	s.Problems = s.Problems[:min(len(s.Problems), kept)]
	s.Syncs, s.Programming, s.Repairs = nil, nil, nil
	if s.Overlay != nil {
		s.Overlay.Peers = s.Overlay.Peers[:max(min(len(s.Overlay.Peers), s.Overlay.LostCount, kept), 0)]
	}
	return &s, nil
}

// portOf returns the port that serves the state; 0 is none.
func portOf(pod *corev1.Pod) (port int32, secure bool) {
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			switch p.Name {
			case portTLS:
				return p.ContainerPort, true
			case portPlain:
				port = p.ContainerPort
			}
		}
	}
	return port, false
}

// askProxy asks through the API server, which passes no credentials on.
func (f *Fleet) askProxy(ctx context.Context, pod *corev1.Pod, port int32, secure bool, v *state.State) error {
	if secure {
		return errors.New("its port wants credentials, which the API server does not pass on: use --direct")
	}
	name := utilnet.JoinSchemeNamePort("", pod.Name, strconv.Itoa(int(port)))
	body, err := f.client.CoreV1().RESTClient().Get().Namespace(pod.Namespace).Resource("pods").Name(name).
		SubResource("proxy").Suffix(state.PortPath).Stream(ctx)
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: the verb get on pods/proxy is needed, or use --direct", err)
	}
	if err != nil {
		return fmt.Errorf("ask through the API server: %w", err)
	}
	defer func() { _ = body.Close() }()
	return ask.Read(body, http.StatusOK, state.PortPath, v)
}

// askDirect asks by the address of the node. The token goes to an agent whose certificate
// is verified, and never in the clear.
func (f *Fleet) askDirect(ctx context.Context, pod *corev1.Pod, port int32, secure bool, v *state.State) error {
	scheme := map[bool]string{true: "https", false: "http"}[secure]
	url := scheme + "://" + net.JoinHostPort(pod.Status.HostIP, strconv.Itoa(int(port))) + state.PortPath
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	if secure {
		token, err := f.token()
		if err != nil {
			return err
		}
		if token = strings.TrimSpace(token); token == "" {
			return errors.New("its port wants a token, and the kubeconfig has none: use one with a token")
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := f.direct.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return ask.Read(resp.Body, resp.StatusCode, state.PortPath, v)
}
