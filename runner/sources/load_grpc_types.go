package sources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// grpcTypes knows the methods of services, so that only the first session of a load asks for them.
type grpcTypes struct {
	mu    sync.Mutex
	known map[string]protoreflect.MethodDescriptor // by the file or else the address, and the method
}

// of returns the methods that the load calls at a place.
func (g *grpcTypes) of(ctx context.Context, p load.Place, s *grpcSession) (map[string]protoreflect.MethodDescriptor, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := map[string]protoreflect.MethodDescriptor{}
	for _, name := range p.About {
		from := p.Proto
		if from == "" {
			from = p.Address
		}
		if g.known[from+" "+name] == nil {
			m, err := findMethod(ctx, p, s, name)
			if err != nil {
				return nil, err
			}
			if g.known == nil {
				g.known = map[string]protoreflect.MethodDescriptor{}
			}
			g.known[from+" "+name] = m
		}
		all[name] = g.known[from+" "+name]
	}
	return all, nil
}

// findMethod returns a method of the file of a place or, if it has none, of what its server says.
func findMethod(ctx context.Context, p load.Place, s *grpcSession, name string) (protoreflect.MethodDescriptor, error) {
	service, method, _ := strings.Cut(name, "/")
	var d protoreflect.ServiceDescriptor
	var err error
	where := fmt.Sprintf("the file %q", p.Proto)
	if p.Proto != "" {
		d, err = serviceInFile(ctx, p.Proto, protoreflect.FullName(service))
	} else {
		where = "server reflection"
		d, err = s.reflect(ctx, protoreflect.FullName(service))
	}
	switch {
	case err != nil:
		return nil, err
	case d == nil || d.Methods().ByName(protoreflect.Name(method)) == nil:
		return nil, load.OwnError(fmt.Sprintf("%s knows no method %q", where, name), "check the method, and `proto` of the service in the system file", errors.New("no such method"))
	}
	m := d.Methods().ByName(protoreflect.Name(method))
	if m.IsStreamingClient() || m.IsStreamingServer() {
		return nil, load.OwnError(fmt.Sprintf("the method %q is a stream", name), "call a method with one request and one answer", errors.New("not unary"))
	}
	return m, nil
}

// serviceInFile returns a service that a .proto file defines, or one that it imports. It returns nil if there is none.
func serviceInFile(ctx context.Context, file string, service protoreflect.FullName) (protoreflect.ServiceDescriptor, error) {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{filepath.Dir(file)}})}
	files, err := c.Compile(ctx, filepath.Base(file))
	if err != nil {
		return nil, load.OwnError(fmt.Sprintf("the file %q cannot be compiled", file), fmt.Sprintf("mend it: %v", err), err)
	}
	d, err := files.AsResolver().FindDescriptorByName(service)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // the caller reports it
	}
	found, _ := d.(protoreflect.ServiceDescriptor)
	return found, nil
}

// Fields of grpc.reflection.v1.ServerReflectionRequest and ServerReflectionResponse
// (https://github.com/grpc/grpc/blob/master/src/proto/grpc/reflection/v1/reflection.proto).
const (
	reflectFile, reflectSymbol  = 3, 4
	reflectFiles, reflectFailed = 4, 7
)

// reflect asks the server for a service and the files that it needs. It returns nil if the server does not know it.
func (s *grpcSession) reflect(ctx context.Context, service protoreflect.FullName) (protoreflect.ServiceDescriptor, error) {
	all := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	add := func(field protowire.Number, name string) (bool, error) {
		files, err := s.askReflection(ctx, field, name)
		for _, raw := range files {
			f := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(raw, f); err != nil {
				return false, load.Malformed("a description of server reflection: %w", err)
			}
			if !seen[f.GetName()] {
				seen[f.GetName()] = true
				all.File = append(all.File, f)
			}
		}
		return len(files) > 0, err
	}
	if found, err := add(reflectSymbol, string(service)); err != nil || !found {
		return nil, err
	}
	for i := 0; i < len(all.GetFile()); i++ { // it grows
		for _, name := range all.GetFile()[i].GetDependency() {
			if seen[name] {
				continue
			}
			if known, err := protoregistry.GlobalFiles.FindFileByPath(name); err == nil { // such as google/protobuf/timestamp.proto
				seen[name] = true
				all.File = append(all.File, protodesc.ToFileDescriptorProto(known))
			} else if _, err := add(reflectFile, name); err != nil {
				return nil, err
			}
		}
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(all)
	if err != nil {
		return nil, load.OwnError("the description of server reflection is not complete", "name the .proto file in the system file: proto", err)
	}
	d, err := files.FindDescriptorByName(service)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // the caller reports it
	}
	found, _ := d.(protoreflect.ServiceDescriptor)
	return found, nil
}

// askReflection asks for one symbol or file, and returns the descriptions of the answer; none if it is not known.
func (s *grpcSession) askReflection(ctx context.Context, field protowire.Number, name string) ([][]byte, error) {
	request := protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), name)
	for _, version := range []string{"v1", "v1alpha"} {
		status, answer, err := s.call(ctx, "grpc.reflection."+version+".ServerReflection/ServerReflectionInfo", http.Header{}, request)
		switch {
		case err != nil:
			return nil, err
		case status.code == grpcUnimplemented:
			continue
		case status.code != 0:
			return nil, load.OwnError("server reflection was answered with "+grpcNames[status.code], "name the .proto file in the system file: proto", errors.New(status.message))
		}
		var files [][]byte
		err = eachField(answer, func(n protowire.Number, value []byte) error {
			switch n {
			case reflectFailed:
				return nil // it is not known
			case reflectFiles:
				return eachField(value, func(_ protowire.Number, file []byte) error {
					files = append(files, file)
					return nil
				})
			}
			return nil
		})
		return files, err
	}
	return nil, load.OwnError("the service has no server reflection", "name its .proto file in the system file: proto", errors.New("unimplemented"))
}

// eachField calls do for each field of a message that has a length.
func eachField(raw []byte, do func(n protowire.Number, value []byte) error) error {
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return load.Malformed("an answer of server reflection")
		}
		raw = raw[size:]
		if size = protowire.ConsumeFieldValue(n, kind, raw); size < 0 {
			return load.Malformed("an answer of server reflection")
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(raw)
			if err := do(n, value); err != nil {
				return err
			}
		}
		raw = raw[size:]
	}
	return nil
}
