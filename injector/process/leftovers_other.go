//go:build !unix

package process

import "os"

func leftoversDir() (string, error) { return "", errNoRecords }

func lockNew(string) (*os.File, error) { return nil, errNoRecords }

func tryLock(*os.File) bool { return false }

func isListening(string) bool { return true }
