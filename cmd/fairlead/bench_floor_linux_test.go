// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"fairlead/internal/inet"
	"fairlead/nat/kernel"
	"fairlead/nat/ruleset"
	"fairlead/proxier/proxiertest"
)

// The floors are programs that do a part of what an agent does, and nothing else. They stand in
// FAIRLEAD_AGENTS among the agents. bareWatch reads the events of a watch and drops them.
// bareWrite also sends the transaction that an agent would send, so it has to follow an agent,
// whose table it changes.
const (
	bareWatch = "bare-watch"
	bareWrite = "bare-write"
)

// floorEnv makes this test binary one of the floors, and floorAddr is the address of the server.
const (
	floorEnv  = "FAIRLEAD_FLOOR"
	floorAddr = "FAIRLEAD_FLOOR_ADDR"
)

func isFloor(agent string) bool { return agent == bareWatch || agent == bareWrite }

// startFloor starts a floor and returns when it has read the list.
func startFloor(b *testing.B, name, addr string) *exec.Cmd {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), floorEnv+"="+name, floorAddr+"="+addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatalf("%s: %q, %v", name, line, err)
	}
	return cmd
}

// runFloor is the main function of a floor.
func runFloor(ctx context.Context, name string) error {
	event := func(int) error { return nil }
	if name == bareWrite {
		table, err := kernel.Open(nil)
		if err != nil {
			return err
		}
		event = func(n int) error { return table.Commit(ctx, floorBatch(n)) }
	}
	body, err := floorWatch(ctx, os.Getenv(floorAddr))
	if err != nil {
		return err
	}
	frames, buf := bufio.NewReader(body), make([]byte, 64<<10)
	for n := -loadServices - 1; ; n++ { // a bookmark ends the list
		if n == 0 {
			fmt.Println("ready")
		}
		if _, err := io.ReadFull(frames, buf[:4]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(buf)
		if size > uint32(len(buf)) {
			return fmt.Errorf("event of %d bytes", size)
		}
		if _, err := io.ReadFull(frames, buf[:size]); err != nil {
			return err
		}
		if n < 0 {
			continue
		}
		if err := event(n); err != nil {
			return err
		}
	}
}

// floorWatch begins a watch of EndpointSlices.
func floorWatch(ctx context.Context, addr string) (io.ReadCloser, error) {
	url := "http://" + addr + "/apis/discovery.k8s.io/v1/endpointslices?watch=true&sendInitialEvents=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", runtime.ContentTypeProtobuf+";stream=watch")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("watch: %s", resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// floorBatch is what an agent commits for the n-th change of loadRun.
func floorBatch(n int) ruleset.Batch {
	svc := proxiertest.BenchService(n % loadServices)
	last := ruleset.Element{
		Set: ruleset.Set{Kind: ruleset.Backends}, Slot: loadEndpoints - 1, Comment: "default/" + svc.Name + ":http",
		Key:  inet.Addr{IP: netip.MustParseAddr(svc.Spec.ClusterIP), Proto: inet.TCP, Port: 80},
		Data: netip.AddrPortFrom(netip.AddrFrom4(loadAddress(n)), 8080),
	}
	return ruleset.Batch{{Verb: ruleset.DeleteElement, Element: last}, {Verb: ruleset.AddElement, Element: last}}
}
