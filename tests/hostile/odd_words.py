# status: wrong
class Odd(Exception):
    pass

Odd.__name__ = "=cmd()</style><script>"

def softmax(z, out=None):
    raise Odd("\0\ud800\x1b[31m\r\n=cmd|'/c calc'!A0\",\u202e</pre><!--")
