package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// deleteTimeout is how long a server may take to delete a resource and to confirm that.
const deleteTimeout = 5 * time.Second

// isURL reports whether what was recorded is the URL of a resource, and not a path.
func isURL(recorded string) bool {
	return strings.HasPrefix(recorded, "http://") || strings.HasPrefix(recorded, "https://")
}

// deleteResource deletes a resource of an HTTP API that its server keeps in memory, such as a toxic of Toxiproxy, and
// verifies that it is gone.
func deleteResource(url string) (undone, proved string, err error) {
	deleted, err := Delete(context.Background(), url)
	switch {
	case err != nil:
		return "", "", err
	case deleted:
		undone = "deleted " + url
	}
	return undone, url + " does not exist", nil
}

// Delete deletes the resource of an http or https URL, and verifies that it is gone. It is gone, too, if nothing listens at
// the address of its server, which keeps it in memory. deleted is false if it was gone before.
func Delete(ctx context.Context, url string) (deleted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	switch status, err := ask(ctx, http.MethodDelete, url); {
	case errors.Is(err, syscall.ECONNREFUSED):
		return false, nil
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("delete %s: the server did not answer in time", url)
	case err != nil:
		return false, fmt.Errorf("delete %s: %w", url, err)
	case status == http.StatusNotFound:
		return false, nil
	case status >= http.StatusMultipleChoices:
		return false, fmt.Errorf("delete %s: the answer is status %d", url, status)
	}
	switch status, err := ask(ctx, http.MethodGet, url); {
	case err != nil:
		return false, fmt.Errorf("verify that %s was deleted: %w", url, err)
	case status != http.StatusNotFound:
		return false, fmt.Errorf("verify that %s was deleted: the answer is status %d, not 404", url, status)
	}
	return true, nil
}

// ask sends a request and returns the status of the answer. It does not follow redirects.
func ask(ctx context.Context, method, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "firedrill") // Toxiproxy refuses those of browsers
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
