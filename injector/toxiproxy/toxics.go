package toxiproxy

import (
	"bytes"
	"io"
	"net/http"
)

func (s *Server) listToxics(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.sorted(), nil
}

func (s *Server) createToxic(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, err
	}
	t := &toxic{Stream: "downstream", Toxicity: 1, proxy: p}
	if err := decode(bytes.NewReader(body), t); err != nil {
		return 0, nil, err
	}
	if t.Stream != "upstream" && t.Stream != "downstream" {
		return 0, nil, badRequest("stream was invalid, can be either upstream or downstream")
	}
	if t.Name == "" {
		t.Name = t.Type + "_" + t.Stream
	}
	if t.Attributes = t.newAttributes(); t.Attributes == nil {
		return 0, nil, badRequest("invalid toxic type")
	}
	if p.toxic(t.Name) >= 0 {
		return 0, nil, apiError{http.StatusConflict, "toxic already exists"}
	}
	if err := t.set(body); err != nil {
		return 0, nil, err
	}
	p.Toxics = append(p.Toxics, t)
	t.expire()
	return http.StatusOK, t, nil
}

// toxic returns the toxic that a request names, and its index.
func (s *Server) toxic(r *http.Request) (*proxy, int, error) {
	p, err := s.proxy(r)
	if err != nil {
		return nil, 0, err
	}
	i := p.toxic(r.PathValue("toxic"))
	if i < 0 {
		return nil, 0, apiError{http.StatusNotFound, "toxic not found"}
	}
	return p, i, nil
}

func (s *Server) showToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.Toxics[i], nil
}

// updateToxic changes the toxicity and attributes of a toxic. What is not in the request stays.
func (s *Server) updateToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, err
	}
	t := p.Toxics[i]
	if err := t.set(body); err != nil {
		return 0, nil, err
	}
	if t.removed == nil {
		t.expire()
	}
	return http.StatusOK, t, nil
}

func (s *Server) deleteToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	t := p.Toxics[i]
	p.drop(func(o *toxic) bool { return o == t })
	return http.StatusNoContent, nil, t.remove()
}
