// An algorithm without a shell: it writes a file of its inputs' names and ends with the given code.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run() (int, error) {
	output, err := os.Create(filepath.Join(os.Getenv("OUTPUTS"), "inputs.txt"))
	if err != nil {
		return 0, err
	}
	inputs := os.Getenv("INPUTS")
	err = filepath.WalkDir(inputs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		fmt.Println("input:", path)
		_, err = fmt.Fprintln(output, path)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := output.Close(); err != nil || len(os.Args) < 2 {
		return 0, err
	}
	return strconv.Atoi(os.Args[1])
}
