// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"time"

	"fairlead/cmd/fairlead-lab/world"
	"fairlead/internal/lab"
)

// soon is how long a change may take at most to reach the first connection. It
// takes some milliseconds; a busy machine must not fail the demo.
const soon = 2 * time.Second

// stepJoin adds one pod and measures how long it takes until a client meets it.
func stepJoin(ctx context.Context, d *demo) error {
	return d.join(ctx)
}

// join adds a pod to web and waits until the client was given it.
func (d *demo) join(ctx context.Context) error {
	e, err := d.newPod()
	if err != nil {
		return err
	}
	d.say("%s starts on %s with %s and is added to the EndpointSlices", e.Pod.Name, e.Pod.Node.Name, words(e.Pod.Addrs()))
	d.Web.Endpoints = append(d.Web.Endpoints, e)
	if err := d.Write(d.Web); err != nil {
		return err
	}
	start := time.Now()
	for n := 1; ; n++ {
		reply, err := d.Client.Dial(ctx, d.Web.At(d.Web.ClusterIPs[0]))
		took := time.Since(start)
		if err != nil {
			return err
		}
		if reply.Server == e.Pod.Name || took > soon {
			d.check(took <= soon, "client meets %s in connection %d, %s after the file was written", reply.Server, n, milliseconds(took))
			return nil
		}
	}
}

// newPod starts the next pod of web, on the nodes in turn.
func (d *demo) newPod() (world.Endpoint, error) { return d.newPodOn(nil) }

// newPodOn starts it on a node of choice, nil for the next one.
func (d *demo) newPodOn(node *lab.Node) (world.Endpoint, error) {
	d.podsMade++
	name := fmt.Sprintf("web-%d", d.podsMade)
	if node == nil {
		return d.AddWebPod(name, d.podsMade-1)
	}
	return world.AddPodOn(node, name)
}
