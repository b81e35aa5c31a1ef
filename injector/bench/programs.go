package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// startProgram starts a program and waits until it listens on the last of ports.
func (b *bench) startProgram(name, debian string, ports []string, args ...string) (*process.Service, error) {
	if _, err := process.LookPath(args[0]); err != nil {
		return nil, fmt.Errorf("%s: not installed (apt-get install %s)", name, debian)
	}
	svc, err := process.Start(b.ctx, process.Spec{
		Name: name, Args: args, Dir: b.dir, Log: filepath.Join(b.dir, name+".log"), Ready: process.Ready{TCP: "127.0.0.1:" + ports[len(ports)-1], Within: 10 * time.Second},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b.services = append(b.services, svc)
	return svc, nil
}

// freePorts returns a free port for each server, and the servers' addresses.
func freePorts(servers []server) (ports, upstreams []string) {
	for _, s := range servers {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err) // no port is free
		}
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		ports = append(ports, port)
		_ = ln.Close()
		upstreams = append(upstreams, s.addr)
	}
	return ports, upstreams
}

// addExternal adds a target of another project, which listens on one of ports for each of servers.
func (b *bench) addExternal(name string, servers []server, ports []string, pids ...int) {
	t := &target{name: name, addrs: map[string]string{}, pids: pids}
	for i, s := range servers {
		t.addrs[s.name] = "127.0.0.1:" + ports[i]
	}
	b.addTarget(t)
}

func (b *bench) toxiproxyServer() error {
	if !b.wanted("toxiproxy-server") {
		return nil
	}
	program := filepath.Join(b.dir, "toxiproxy-server")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/Shopify/toxiproxy/v2/cmd/server").CombinedOutput(); err != nil { //nolint:gosec // a fixed command
		return fmt.Errorf("toxiproxy-server: it does not build (run this in the project's folder): %w: %s", err, out)
	}
	ports, upstreams := freePorts(b.servers)
	api, _ := freePorts(b.servers)
	svc, err := b.startProgram("toxiproxy-server", "", api[:1], program, "-host", "127.0.0.1", "-port", api[0])
	if err != nil {
		return err
	}
	for i, port := range ports {
		body := fmt.Sprintf(`{"name":"p%d","listen":"127.0.0.1:%s","upstream":%q}`, i, port, upstreams[i])
		resp, err := http.Post("http://127.0.0.1:"+api[0]+"/proxies", "application/json", bytes.NewReader([]byte(body))) //nolint:noctx // a local call
		if err != nil {
			return fmt.Errorf("toxiproxy-server: %w", err)
		}
		_ = resp.Body.Close()
	}
	b.addExternal("toxiproxy-server", b.servers, ports, svc.PID())
	return nil
}

func (b *bench) haproxy() error { return b.haproxyIn("mode tcp\n  option splice-auto", b.servers) }

func (b *bench) haproxyIn(mode string, servers []server) error {
	if !b.wanted("haproxy") {
		return nil
	}
	ports, upstreams := freePorts(servers)
	var text strings.Builder
	fmt.Fprintf(&text, "global\n  maxconn %d\n  nbthread 2\ndefaults\n  %s\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n", (openFiles()-1000)*2/5, mode) // HAProxy counts pipes, too
	for i, port := range ports {
		fmt.Fprintf(&text, "listen l%d\n  bind 127.0.0.1:%s\n  server s 127.0.0.1:%s\n", i, port, portOf(upstreams[i]))
	}
	return b.startConfigured("haproxy", "haproxy", servers, ports, text.String(), "haproxy", "-db", "-f")
}

func (b *bench) nginx() error {
	if !b.wanted("nginx") {
		return nil
	}
	ports, upstreams := freePorts(b.servers)
	var text strings.Builder
	if module := "/usr/lib/nginx/modules/ngx_stream_module.so"; exists(module) {
		fmt.Fprintf(&text, "load_module %s;\n", module)
	}
	fmt.Fprintf(&text, "daemon off;\nmaster_process off;\nerror_log stderr;\npid %s/nginx.pid;\nworker_rlimit_nofile 65536;\nevents { worker_connections 65000; }\nstream {\n  proxy_timeout 1h;\n", b.dir)
	for i, port := range ports {
		fmt.Fprintf(&text, "  server { listen 127.0.0.1:%s; proxy_pass %s; }\n", port, upstreams[i])
	}
	text.WriteString("}\n")
	return b.startConfigured("nginx", "nginx-light libnginx-mod-stream", b.servers, ports, text.String(), "nginx", "-e", "stderr", "-p", b.dir, "-c")
}

// startConfigured starts a program whose last argument is its configuration file.
func (b *bench) startConfigured(name, debian string, servers []server, ports []string, text string, args ...string) error {
	file := filepath.Join(b.dir, name+".conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	svc, err := b.startProgram(name, debian, ports, append(args, file)...)
	if err != nil {
		return err
	}
	b.addExternal(name, servers, ports, svc.PID())
	return nil
}

func (b *bench) socat() error {
	if !b.wanted("socat") {
		return nil
	}
	ports, upstreams := freePorts(b.servers)
	var pids []int
	for i, port := range ports {
		svc, err := b.startProgram("socat", "socat", []string{port}, "socat", "TCP-LISTEN:"+port+",bind=127.0.0.1,reuseaddr,fork,backlog=1024,nodelay", "TCP:"+upstreams[i]+",nodelay")
		if err != nil {
			return err
		}
		pids = append(pids, svc.PID())
	}
	b.addExternal("socat", b.servers, ports, pids...)
	return nil
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
