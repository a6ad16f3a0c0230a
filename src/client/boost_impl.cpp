// The parts of Asio and Beast that need not be compiled wherever they are included.

#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
