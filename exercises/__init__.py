"""The book's graded exercises: one file a chapter, named by the module the chapter owns. See README.md."""
