"""What tests of the command line share."""


def error_line(output):
    """Nothing on stdout, one line on stderr."""
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "Traceback" not in output.err
    return output.err
