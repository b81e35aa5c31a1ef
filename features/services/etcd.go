package services

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// clusterSize is the number of members of the etcd cluster. They are numbered from 1.
const clusterSize = 3

// memberHost returns the address at which a member is known to the others. The network is one for documentation (RFC
// 5737): it is never dialled.
func memberHost(n int) string { return fmt.Sprintf("192.0.2.%d:2380", n) }

// runEtcd runs one member of a cluster. A member has the same address for all others, but each of them has to reach it
// through a link of its own. So they know each other by addresses that nobody dials: etcd asks the HTTP proxy of its
// environment for them, which is this process, and which dials the member's link to the other, in c.nodes. c.second is
// the address for the other members, and c.third that of the proxy.
func runEtcd(ctx context.Context, c config) (service, error) {
	path, err := process.LookPath("etcd")
	if err != nil {
		return service{}, err
	}
	proxy, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.third)
	if err != nil {
		return service{}, err
	}
	server := &http.Server{Handler: linkProxy(c.nodes), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(proxy) }()
	defer func() { _ = server.Close() }()
	var cluster []string
	for n := 1; n <= clusterSize; n++ {
		cluster = append(cluster, fmt.Sprintf("etcd-%d=http://%s", n, memberHost(n)))
	}
	cmd := exec.CommandContext(ctx, path, //nolint:gosec // an installed program
		"--name", fmt.Sprintf("etcd-%d", c.member), "--data-dir", filepath.Join(c.dir, "data"), "--logger", "zap", "--log-level", "warn",
		"--listen-client-urls", "http://"+c.listen, "--advertise-client-urls", "http://"+c.listen,
		"--listen-peer-urls", "http://"+c.second, "--initial-advertise-peer-urls", "http://"+memberHost(c.member),
		"--initial-cluster", strings.Join(cluster, ","), "--initial-cluster-token", "drill")
	cmd.Env = append(os.Environ(), "HTTP_PROXY=http://"+proxy.Addr().String(), "NO_PROXY=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return service{}, fmt.Errorf("the server ended: %w", cmd.Run())
}

// linkProxy returns an HTTP proxy that forwards requests for a member of the cluster to the link in nodes, by number, and
// passes on each part of an answer at once, since members stream messages to each other in answers.
func linkProxy(nodes map[int]string) http.Handler {
	links := map[string]string{}
	for n, link := range nodes {
		links[memberHost(n)] = link
	}
	return &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			link, known := links[addr]
			if !known {
				return nil, fmt.Errorf("there is no link to %s", addr)
			}
			return (&net.Dialer{}).DialContext(ctx, network, link)
		}},
	}
}

// register is a register in the cluster, and a log of the writes that were applied.
type register struct {
	http         http.Client
	nodes        map[int]string // addresses of the members' clients, by number
	serializable bool           // each member answers reads alone, by what it knows
	stubborn     bool           // requests go to the first member only
	turn         atomic.Int64
	failed       [clusterSize + 1]atomic.Int64 // by member: the time of its last failure in ns since 1970
}

const (
	answerWithin = time.Second     // for one request to one member
	avoidFor     = 2 * time.Second // after a failure
)

// newRegister returns a service that keeps one value in etcd, and asks the members in turn. Each request is sent once. A
// member that failed is left alone for a while, as long as there are others.
func newRegister(_ context.Context, c config) (service, error) {
	r := &register{nodes: c.nodes, serializable: c.isWithout("linearizable reads"), stubborn: c.isWithout("failover")}
	for n := 1; n <= clusterSize; n++ {
		if r.nodes[n] == "" {
			return service{}, fmt.Errorf("member %d has no address: pass --node %d=host:port", n, n)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives, transport.Proxy = true, nil // a request on a connection of its own is never sent twice
	r.http.Transport = transport
	s := service{ServeMux: http.NewServeMux()}
	s.HandleFunc("PUT /register", func(w http.ResponseWriter, req *http.Request) {
		value, err := io.ReadAll(io.LimitReader(req.Body, 1<<10))
		if err == nil {
			err = r.write(req.Context(), value, req.Header.Get("Idempotency-Key"))
		}
		answer(w, value, err)
	})
	s.HandleFunc("GET /register", func(w http.ResponseWriter, req *http.Request) {
		value, err := r.read(req.Context())
		answer(w, value, err)
	})
	s.HandleFunc("POST /leader/{member}", func(w http.ResponseWriter, req *http.Request) {
		n, _ := strconv.Atoi(req.PathValue("member"))
		answer(w, []byte("{}"), r.lead(req.Context(), n))
	})
	s.effects("GET /ledger", func(ctx context.Context) ([]effect, error) { return r.applied(ctx, r.next(), false) })
	for n := 1; n <= clusterSize; n++ {
		s.effects(fmt.Sprintf("GET /members/%d", n), func(ctx context.Context) ([]effect, error) { return r.applied(ctx, n, true) })
	}
	return s, nil
}

func answer(w http.ResponseWriter, body []byte, err error) {
	if err != nil { // a write may have been applied
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// next returns the member whose turn it is.
func (r *register) next() int {
	if r.stubborn {
		return 1
	}
	var n int
	for range clusterSize {
		n = int(r.turn.Add(1))%clusterSize + 1
		if time.Since(time.Unix(0, r.failed[n].Load())) > avoidFor {
			break
		}
	}
	return n
}

// The prefix of the keys that log writes, and the first key after them.
const logPrefix, logEnd = "applied/", "applied0"

// pair is a key and its value in etcd's JSON, which encodes bytes in base64.
type pair struct {
	Key     []byte `json:"key"`
	Value   []byte `json:"value,omitempty"`
	Version int64  `json:"version,string,omitempty"` // how often the key was written
}

// write sets the value and logs the key of the request, both or neither.
func (r *register) write(ctx context.Context, value []byte, key string) error {
	put := func(key string, value []byte) map[string]pair {
		return map[string]pair{"requestPut": {Key: []byte(key), Value: value}}
	}
	return r.call(ctx, r.next(), "kv/txn", map[string]any{"success": []any{put("register", value), put(logPrefix+key, []byte("1"))}}, nil)
}

// read returns the value, or null.
func (r *register) read(ctx context.Context) ([]byte, error) {
	all, err := r.pairs(ctx, r.next(), "register", "", r.serializable)
	if err != nil || len(all) == 0 {
		return []byte("null"), err
	}
	return all[0].Value, nil
}

// applied returns the log, as one member knows it if serializable.
func (r *register) applied(ctx context.Context, member int, serializable bool) (effects []effect, err error) {
	all, err := r.pairs(ctx, member, logPrefix, logEnd, serializable)
	for _, p := range all {
		for i := range p.Version {
			effects = append(effects, effect{strings.TrimPrefix(string(p.Key), logPrefix), strconv.FormatInt(i+1, 10)})
		}
	}
	return effects, err
}

func (r *register) pairs(ctx context.Context, member int, key, end string, serializable bool) ([]pair, error) {
	var found struct {
		Kvs []pair `json:"kvs"`
	}
	err := r.call(ctx, member, "kv/range", map[string]any{"key": []byte(key), "range_end": []byte(end), "serializable": serializable}, &found)
	return found.Kvs, err
}

// lead makes a member the leader.
func (r *register) lead(ctx context.Context, member int) error {
	ids := map[string]int{} // members by their ID
	var target, leaderID string
	for n := 1; n <= clusterSize; n++ {
		var status struct {
			Header struct {
				ID string `json:"member_id"`
			} `json:"header"`
			Leader string `json:"leader"`
		}
		if err := r.call(ctx, n, "maintenance/status", struct{}{}, &status); err != nil {
			return err
		}
		ids[status.Header.ID], leaderID = n, status.Leader
		if n == member {
			target = status.Header.ID
		}
	}
	switch leader := ids[leaderID]; {
	case target == "":
		return fmt.Errorf("there is no member %d", member)
	case leader == 0:
		return errors.New("there is no leader")
	case leader == member:
		return nil
	default:
		return r.call(ctx, leader, "maintenance/transfer-leadership", map[string]string{"targetID": target}, nil)
	}
}

// call posts a request to etcd's JSON gateway of one member, and decodes the answer into into unless that is nil.
func (r *register) call(ctx context.Context, member int, path string, request, into any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	defer func() {
		if err != nil {
			r.failed[member].Store(time.Now().UnixNano())
			err = fmt.Errorf("etcd-%d: %w", member, err)
		}
	}()
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.nodes[member]+"/v3/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, text)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}
