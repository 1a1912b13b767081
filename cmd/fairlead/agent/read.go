// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead/cmd/fairlead/options"
	"fairlead/internal/masqfile"
	"fairlead/proxier/source"
	"fairlead/proxier/store"
)

// readTimeout is how long ReadObjects waits for the API server.
const readTimeout = 30 * time.Second

// ReadObjects reads all objects once, as the agent with this configuration does. The
// error says what could not be read; the store has the rest.
func ReadObjects(ctx context.Context, cfg *options.Config) (*store.Store, error) {
	of, err := newClients(quietly(ctx), cfg)
	if err != nil {
		return nil, err
	}
	s := store.New()
	var errs []error
	if file := cfg.Node.MasqFile; file != "" {
		state := masqfile.Read(file, masqfile.State{Config: masqfile.Absent()})
		source.MasqFile(s, file, state.Config.NonMasquerade(), state.Err)
	}
	if cfg.Manifests != "" {
		_, err := source.ReadFiles(cfg.Manifests, s)
		errs = append(errs, err)
	}
	if of.objects == nil {
		return s, errors.Join(errs...)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	source.ExpectAPI(s)
	var group errgroup.Group
	group.Go(func() error { return source.RunAPI(ctx, of.objects, cfg.Proxier.NodeName, s) })
	for !s.Synced() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.Poked():
		}
	}
	if !s.Synced() {
		errs = append(errs, fmt.Errorf("read objects of the API server: no complete answer within %s", readTimeout))
	}
	cancel()
	return s, errors.Join(append(errs, group.Wait())...)
}
