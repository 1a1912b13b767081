// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/cmd/fairlead/state"
	"fairlead/internal/peercred"
)

// Limits of an answer.
const (
	maxAnswer = 16 << 20 // bytes
	patience  = 10 * time.Second
)

// ErrNoAgent means that no agent listens on the socket.
var ErrNoAgent = errors.New("no agent answers")

// Client asks one agent. Its methods are safe for concurrent use.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a Client for the socket at path.
func NewClient(path string) *Client {
	return &Client{socket: path, http: http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, path)
		},
	}}}
}

// Open returns a Client for the agent of the network namespace of the process, whose
// socket is in dir.
func Open(dir string) (*Client, error) {
	path, err := Socket(dir)
	if err != nil {
		return nil, err
	}
	return NewClient(path), nil
}

// dial connects to the socket of an agent. A file cannot be trusted if another user than
// root could have made it.
func dial(ctx context.Context, path string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err //nolint:wrapcheck // noAgent reads it
	}
	cred, err := peercred.Of(c)
	if err == nil && !peercred.Trusted(cred) {
		err = fmt.Errorf("the process %d behind the socket belongs to user %d: only an agent of root is trusted", cred.Pid, cred.Uid)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// State asks the agent for its state. The error is ErrNoAgent if there is none.
func (c *Client) State(ctx context.Context) (*state.State, error) {
	var s state.State
	if err := c.Get(ctx, state.Path, &s); err != nil {
		return nil, err
	}
	if err := CheckProtocol(&s); err != nil {
		return nil, err
	}
	return &s, nil
}

// CheckProtocol returns an error if the agent speaks another protocol than this program.
func CheckProtocol(s *state.State) error {
	if s.Protocol != state.Protocol {
		return fmt.Errorf("the agent speaks %q and this command %q: use the command of the agent's version", s.Protocol, state.Protocol)
	}
	return nil
}

// Get decodes the JSON answer of a path, for example state.Path, into v. The error is
// ErrNoAgent if there is no agent.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.noAgent(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return Read(resp.Body, resp.StatusCode, path, v)
}

// Read decodes the answer of an agent to path into v. It reads a bounded number of bytes.
func Read(r io.Reader, status int, path string, v any) error {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of the agent: %w", err)
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer of the agent to %s is larger than %d bytes", path, maxAnswer)
	case status == http.StatusNotFound:
		return fmt.Errorf("the agent does not know %s: use the command of the agent's version", path)
	case status != http.StatusOK:
		return fmt.Errorf("the agent answers %d %s: %s", status, http.StatusText(status), strings.TrimSpace(string(body[:min(len(body), 512)])))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read the answer of the agent: %w", err)
	}
	return nil
}

// noAgent explains why a connection failed.
func (c *Client) noAgent(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w at %s: check that it runs in this network namespace", ErrNoAgent, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("connect to %s: permission denied: run the command as root", c.socket)
	}
	return fmt.Errorf("ask the agent: %w", err)
}
